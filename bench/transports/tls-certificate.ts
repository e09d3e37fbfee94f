/** A key and its certificate for benches on loopback: known to everybody, they protect nobody. Ed25519, as our nodes have. */
export const key = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGr/Qlc1kG3SZFIFNWCo3bOkGTh4csYxLq1Kjg7bKuM5
-----END PRIVATE KEY-----
`

export const certificate = `-----BEGIN CERTIFICATE-----
MIIBNjCB6aADAgECAhQ+UXQrGNtrlL1XAXr7+XfvZRtFRjAFBgMrZXAwEDEOMAwG
A1UEAwwFYmVuY2gwIBcNMjYxMTIwMTg0NTQxWhgPMjEyNjEwMjcxODQ1NDFaMBAx
DjAMBgNVBAMMBWJlbmNoMCowBQYDK2VwAyEAW08q+z4ZjhnovURhp7b3Db9oNV4C
M7RDaONG1QIy6vCjUzBRMB0GA1UdDgQWBBReeD8n+dYjLxKBiKyoYrywB94qgTAf
BgNVHSMEGDAWgBReeD8n+dYjLxKBiKyoYrywB94qgTAPBgNVHRMBAf8EBTADAQH/
MAUGAytlcANBABRWNBZH9yJgoBh99V1/lgeQ7lLKDp6v2XwWnM7ujBEHyydXUVzA
6sPScmVES2vfhCffPADoqbkWcccfl8b4igw=
-----END CERTIFICATE-----
`
