/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c - passwords and keys out of a configuration, in memory of their own.
 *
 * libsodium's guarded pages: locked where the limits allow it, left out of core dumps, read-only
 * once filled, overwritten when freed. Called while settings are filled and freed with their
 * generation; must never copy a secret anywhere else.
 */
#include <core/config/option.h>
#include <sodium.h>

struct pn_secret {
	size_t len;
	char data[];
};

struct settings_secrets {
	struct settings_secrets *next;
	struct pn_secret *secret;
};

const struct pn_secret *
secret_keep(struct settings_secrets **secrets, const void *data, size_t len)
{
	struct settings_secrets *keep = sodium_init() < 0 ? NULL : malloc(sizeof(*keep));
	size_t align = _Alignof(struct pn_secret), size = sizeof(struct pn_secret) + len + 1;

	if (!keep)
		return NULL;
	/* What sodium_malloc() gives ends at a page's end: aligned if its size is. */
	keep->secret = sodium_malloc((size + align - 1) / align * align);
	if (!keep->secret) {
		free(keep);
		return NULL;
	}
	keep->secret->len = len;
	memcpy(keep->secret->data, data, len);
	keep->secret->data[len] = '\0';
	sodium_mprotect_readonly(keep->secret);
	keep->next = *secrets;
	*secrets = keep;
	return keep->secret;
}

struct pn_slice
pn_secret_bytes(const struct pn_secret *secret)
{
	return secret ? pn_slice(secret->data, secret->len) : pn_slice(NULL, 0);
}

void
settings_secrets_free(struct settings_secrets **secrets)
{
	struct settings_secrets *next;

	for (struct settings_secrets *keep = *secrets; keep; keep = next) {
		next = keep->next;
		sodium_free(keep->secret);
		free(keep);
	}
	*secrets = NULL;
}
