/* SPDX-License-Identifier: ISC */
/*
 * The same as shim_ssl.c for "libcrypto.so", where nothing but the name
 * without a version is missing.
 */
#include <openssl/crypto.h>

/* Ties this library to the real one. */
unsigned long aegis_shim_crypto_version(void);

unsigned long
aegis_shim_crypto_version(void)
{
	return OpenSSL_version_num();
}
