/** The protocols a router is asked for a port by, in the order they are tried: the newest first, the one with most to go wrong last. */
export const MAPPING_PROTOCOLS = ['pcp', 'nat-pmp', 'upnp'] as const
export type MappingProtocol = (typeof MAPPING_PROTOCOLS)[number]
