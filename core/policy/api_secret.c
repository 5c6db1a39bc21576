/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_secret.c - secrets that modules keep in the database, sealed.
 *
 * Called by hooks, quick ones too, and by commands. Must never leave an opened secret or a key
 * behind in memory, nor open for one module what another has sealed.
 */
#include <core/config/sealed.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/secret.h>
#include <postern/settings.h>

#define ABOUT_MOST 1024u

_Static_assert(PN_SEALED_SECRET_MOST == SEALED_SECRET_MOST, "one size for a secret");

void
pn_sealed_check(struct pn_check *check, const char *path, const struct pn_secret *keys)
{
	struct keyring *ring = NULL;
	struct pn_error err;

	if (keys && keyring_parse(pn_secret_bytes(keys), &ring, &err) < 0)
		pn_complain(check, path, "%s", err.text);
	keyring_release(&ring);
}

static int
ring_of(const struct pn_secret *keys, struct keyring **ret, struct pn_error *err)
{
	*ret = NULL;
	return keys ? keyring_parse(pn_secret_bytes(keys), ret, err)
		    : pn_error_set(err, -ENOKEY, "no keys to seal with are configured");
}

/* Lengths before what module and caller name: no two of them are one text. */
static int
about_of(const struct pn_call *call, const char *table, const char *name, struct buf *ret)
{
	const char *module = call->entry->module->name;

	return buf_printf(ret, "module secret\n%zu %s\n%zu %s\n%zu %s\n", strlen(module), module,
	    strlen(table), table, strlen(name), name);
}

static int
seal(const struct pn_call *call, const struct keyring *ring, const char *table, const char *name,
    struct pn_slice secret, struct buf *ret)
{
	struct buf about = BUF_INIT(ABOUT_MOST);
	int r = about_of(call, table, name, &about);

	if (r == 0)
		r = sealed_make(ring, buf_slice(&about), secret, ret);
	buf_free(&about);
	return r;
}

int
pn_secret_seal(struct pn_call *call, const struct pn_secret *keys, const char *table,
    const char *name, struct pn_slice secret, struct pn_slice *ret, struct pn_error *err)
{
	struct buf sealed = BUF_INIT(SEALED_MOST);
	struct keyring *ring;
	int r = ring_of(keys, &ring, err);

	*ret = pn_slice(NULL, 0);
	if (r < 0)
		return r;
	r = seal(call, ring, table, name, secret, &sealed);
	if (r == 0)
		*ret = pn_slice(arena_copy(&call->arena, sealed.data, sealed.len), sealed.len);
	else
		pn_error_set(err, r, "%.320s cannot be sealed: %s", name,
		    r == -ENOKEY ? "there are no keys" : strerror(-r));
	buf_free(&sealed);
	keyring_release(&ring);
	return r;
}

static int
open_sealed(const struct pn_call *call, const struct keyring *ring, const char *table,
    const char *name, struct pn_slice sealed, struct buf *ret)
{
	struct buf about = BUF_INIT(ABOUT_MOST);
	int r = about_of(call, table, name, &about);

	if (r == 0)
		r = sealed_open(ring, buf_slice(&about), sealed, ret);
	buf_free(&about);
	return r;
}

int
pn_secret_open(struct pn_call *call, const struct pn_secret *keys, const char *table,
    const char *name, struct pn_slice sealed, pn_secret_fn *use, void *arg, struct pn_error *err)
{
	struct buf secret = BUF_INIT(SEALED_MOST);
	struct keyring *ring;
	int r = ring_of(keys, &ring, err);

	if (r < 0)
		return r;
	r = open_sealed(call, ring, table, name, sealed, &secret);
	keyring_release(&ring);
	if (r == 0)
		r = use(arg, buf_slice(&secret));
	else
		pn_error_set(err, r,
		    r == -ENOKEY ? "%.320s was sealed under a key that is not configured any more"
				 : "what is sealed of %.320s cannot be opened: it was changed, or "
				   "is something else's",
		    name);
	buf_wipe(&secret);
	return r;
}

bool
pn_sealed_is_fresh(const struct pn_secret *keys, struct pn_slice sealed)
{
	char name[KEYRING_NAME + 1];
	struct keyring *ring;
	bool fresh;

	if (ring_of(keys, &ring, NULL) < 0)
		return false;
	fresh = keyring_count(ring) > 0 && sealed_key_name(sealed, name) == 0 &&
		strcmp(name, keyring_name(ring, 0)) == 0;
	keyring_release(&ring);
	return fresh;
}
