/** What others may know of `channels`: encrypted channels between two identities. spec/NZ-CHANNEL-01.md. */
export { channelErrors } from '../../protocols/channel/errors.ts'
export { handshakeErrors } from '../../protocols/handshake/errors.ts'
export { wireErrors } from '../../protocols/wire/errors.ts'
