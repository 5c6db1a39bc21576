/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki.c - the module's settings and tables.
 *
 * Called by the core. Must never take a list of authorities that cannot be read for an empty one.
 */
#include "pki.h"
#include <errno.h>
#include <glib.h>
#include <openssl/err.h>

#define TRUST_MOST 2000 /* authorities of a file */

static const struct pn_option pki_options[] = {
	PN_OPT_STRING("trust", struct pki, trust, NULL, PN_SCOPED | PN_PATH | PN_FILE_ONLY,
	    "A file of the authorities (PEM) that a recipient's certificate must lead to; left "
	    "out, any authority will do."),
	PN_OPT_END
};

/* ---- settings -------------------------------------------------------------------------------- */

static void
pki_release(void *derived)
{
	struct pki_prepared *prepared = derived;

	X509_STORE_free(prepared->trust);
	g_free(prepared);
}

static int
add_all(X509_STORE *store, STACK_OF(X509) * certificates)
{
	for (int i = 0; i < sk_X509_num(certificates); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(certificates, i)) != 1)
			return -ENOMEM;
	return 0;
}

static int
load_trust(const char *path, X509_STORE **ret, struct pn_error *err)
{
	STACK_OF(X509) *certificates = NULL;
	GError *error = NULL;
	char *bytes = NULL;
	size_t len;
	int r;

	if (!g_file_get_contents(path, &bytes, &len, &error)) {
		pn_error_set(err, -EIO, "%s", error->message);
		g_error_free(error);
		return -EIO;
	}
	r = certificates_read(pn_slice(bytes, len), TRUST_MOST, &certificates, err);
	g_free(bytes);
	if (r < 0)
		return pn_error_in(err, "%s", path);
	*ret = X509_STORE_new();
	r = *ret ? add_all(*ret, certificates) : -ENOMEM;
	sk_X509_pop_free(certificates, X509_free);
	ERR_clear_error();
	return r < 0 ? pn_error_set(err, r, "not enough memory") : 0;
}

static int
pki_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct pki *cfg = settings;
	struct pki_prepared *prepared = g_new0(struct pki_prepared, 1);
	struct pn_error err = { 0 };

	if (cfg->trust && load_trust(cfg->trust, &prepared->trust, &err) < 0) {
		pn_complain(check, "trust", "%s", err.text);
		pki_release(prepared);
		return -EINVAL;
	}
	*ret = prepared;
	return 0;
}

PN_MODULE(pki) = {
	PN_MODULE_HEAD,
	.name = "pki",
	.summary = "Keeps certificates of recipients and judges them.",
	.roles = PN_ROLE_RELAY | PN_ROLE_CTL,
	.settings_size = sizeof(struct pki),
	.settings = pki_options,
	.prepare = pki_prepare,
	.release = pki_release,
	.commands = pki_commands,
	.migrations = pki_migrations,
};
