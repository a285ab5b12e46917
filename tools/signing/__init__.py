"""Ed25519 signatures of records, candidates and promotions, and whose of them count here.

signature      signs and checks bytes; the canonical form of a record
trusted_keys   lists of public keys: shipped, given by setting, accepted by the user
unsigned       what an archive held before anything was signed
keyring        this machine's key pair, and what a signature is worth here
"""
