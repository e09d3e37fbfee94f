/** The version of nzcore (a test keeps it equal to package.json) and of its local API. */
export const VERSION = '0.1.0'

/** The `/v1` of every path; changes when the API changes in a way that is not additive. */
export const API_VERSION = 1
