/** Signatures that say what they are for, for the rest of this module and whoever composes a node: see there. */
export { purposeBytes, signedBytes, signFor, verifyEd25519, verifyFor } from '../../protocols/identity/signature.ts'
