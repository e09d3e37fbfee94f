/** STUN servers asked; one after the other. */
export const MAX_STUN_SERVERS = 4
