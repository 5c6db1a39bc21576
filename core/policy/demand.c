/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demand.c - modules' demands on TLS, read and checked.
 *
 * Called by api_plan.c, and by modules' checks through the API. Must never take a demand that it
 * does not understand for a weaker one.
 */
#include <core/policy/demand.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>

/* ---- ciphers ----------------------------------------------------------------------------------
 */

static bool
offers(SSL_CTX *ctx, const char *name)
{
	SSL *tls = SSL_new(ctx);
	STACK_OF(SSL_CIPHER) *list = tls ? SSL_get_ciphers(tls) : NULL;
	bool found = false;

	for (int i = 0; i < sk_SSL_CIPHER_num(list) && !found; i++)
		found = strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(list, i)), name) == 0;
	SSL_free(tls);
	return found;
}

/* Something that a connection could have. */
static bool
is_cipher(const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool found = ctx && SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=1") == 1 &&
		     offers(ctx, name);

	SSL_CTX_free(ctx);
	return found;
}

/* ---- words ------------------------------------------------------------------------------------
 */

static int
add_word(struct arena *arena, const char **text, const char *word)
{
	*text = *text ? arena_printf(arena, "%s %s", *text, word) : arena_text(arena, word);
	return 0;
}

static int
read_pins(
    const struct pn_strings *pins, struct arena *arena, const char **ret, struct pn_error *err)
{
	char pin[MAIL_PIN_SIZE];

	for (size_t i = 0; i < pins->count; i++) {
		if (mail_demand_pin(pins->items[i], pin) < 0)
			return pn_error_set(err, -EINVAL,
			    "\"%s\" is no pin; write sha256/ and the digest of the public key, or "
			    "cert-sha256/ and that of the certificate, in base64 or hexadecimal",
			    pins->items[i]);
		add_word(arena, ret, pin);
	}
	return 0;
}

static int
read_ciphers(const struct pn_strings *ciphers, bool checked, struct arena *arena, const char **ret,
    struct pn_error *err)
{
	for (size_t i = 0; i < ciphers->count; i++) {
		const char *name = ciphers->items[i];

		if (!*name || strpbrk(name, " ;") || (checked && !is_cipher(name)))
			return pn_error_set(err, -EINVAL,
			    "\"%s\" is no cipher that OpenSSL has here; write it as `openssl "
			    "ciphers` does: TLS_AES_256_GCM_SHA384",
			    name);
		add_word(arena, ret, name);
	}
	return 0;
}

/* ---- for everyone -----------------------------------------------------------------------------
 */

static int
check_numbers(const struct pn_tls_terms *terms, int32_t level, struct pn_error *err)
{
	int bits = terms->bits;

	if (bits != 0 && bits != 112 && bits != 128 && bits != 256)
		return pn_error_set(err, -EINVAL, "%d bits are not 0, 112, 128 or 256", bits);
	if (level < PN_TLS_NONE || level > PN_TLS_DANE)
		return pn_error_set(err, -EINVAL, "there is no level %d", (int)level);
	if (terms->version != 0 && terms->version != PN_TLS_1_2 && terms->version != PN_TLS_1_3)
		return pn_error_set(
		    err, -EINVAL, "%#x is no version of TLS", (unsigned)terms->version);
	if (terms->ciphers.count > PN_TLS_TERMS_MOST || terms->pins.count > PN_TLS_TERMS_MOST)
		return pn_error_set(err, -EINVAL, "more than %u of one kind", PN_TLS_TERMS_MOST);
	return 0;
}

static int
read_terms(const struct pn_tls_terms *given, bool checked, struct arena *arena,
    struct mail_demand *ret, struct pn_error *err)
{
	struct pn_tls_terms terms = { 0 };
	int r;

	memcpy(&terms, given, given->size < sizeof(terms) ? given->size : sizeof(terms));
	*ret = (struct mail_demand){
		.bits = terms.bits,
		.level = terms.level & ~PN_TLS_WAIT,
		.waits = terms.level & PN_TLS_WAIT,
		.version = terms.version,
	};
	r = check_numbers(&terms, ret->level, err);
	if (r == 0)
		r = read_ciphers(&terms.ciphers, checked, arena, &ret->ciphers, err);
	if (r == 0)
		r = read_pins(&terms.pins, arena, &ret->pins, err);
	if (mail_demand_is_any(ret) && ret->level == PN_TLS_NONE)
		ret->level = PN_TLS_ENCRYPTED;
	return r;
}

/* Names of ciphers are known good here: a module has had them checked, or waits in vain. */
int
demand_of_terms(const struct pn_tls_terms *terms, struct arena *arena, struct mail_demand *ret,
    struct pn_error *err)
{
	return read_terms(terms, false, arena, ret, err);
}

int
pn_tls_terms_check(const struct pn_tls_terms *terms, struct pn_error *err)
{
	struct arena arena = { 0 };
	struct mail_demand demand;
	int r = read_terms(terms, true, &arena, &demand, err);

	arena_free(&arena);
	return r;
}
