/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - the mailbox grammar of RFC 5321 section 4.1.2 with the extension of RFC 6531.
 *
 * Called by whoever takes an address from the wire, from a module or from the configuration. Must
 * never let through a byte that could end a command or a header: no control byte, no blank and no
 * angle bracket outside their escapes, no UTF-8 that is not well-formed.
 *
 * Two things are stricter than the grammar: angle brackets are refused inside quotes too, because
 * next hops are known to cut such a path at the wrong place, and of the address literals only IPv4
 * and IPv6 are known (no other tag was ever registered).
 */
#include <arpa/inet.h>
#include <core/base/text.h>
#include <core/mail/address.h>
#include <errno.h>
#include <glib.h>
#include <idn2.h>
#include <stdlib.h>

#define LABEL_MOST 63 /* RFC 1035 section 2.3.4 */

static bool
is_let_dig(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* RFC 5322 section 3.2.3, with the bytes of UTF-8 (RFC 6531 section 3.3). */
static bool
is_atext(unsigned char c)
{
	return is_let_dig(c) || c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Well-formed and without what breaks lines or steers terminals (C1 controls, U+2028, U+2029). */
static bool
is_clean_utf8(struct pn_slice text)
{
	const char *end = text.data + text.len;

	if (!g_utf8_validate(text.data, (gssize)text.len, NULL))
		return false;
	for (const char *p = text.data; p < end; p += g_utf8_skip[(unsigned char)*p]) {
		GUnicodeType type;

		if (!((unsigned char)*p & 0x80))
			continue;
		type = g_unichar_type(g_utf8_get_char(p));
		if (type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR ||
		    type == G_UNICODE_PARAGRAPH_SEPARATOR)
			return false;
	}
	return true;
}

static bool
has_eightbit(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] >= 0x80)
			return true;
	return false;
}

/* ---- local part ----------------------------------------------------------------------------- */

static bool
is_dot_atom(struct pn_slice text)
{
	bool dot = true; /* a dot may not come first, last or after another */

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == '.' ? dot : !is_atext(c))
			return false;
		dot = c == '.';
	}
	return !dot;
}

/* Quoted-string: what stands between the quotes is printable or blank, escapes in pairs. */
static bool
is_quoted(struct pn_slice text)
{
	size_t last = text.len - 1;

	if (text.len < 3 || text.data[0] != '"' || text.data[last] != '"')
		return false;
	for (size_t i = 1; i < last; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == '\\') {
			if (++i == last)
				return false;
			c = (unsigned char)text.data[i];
			if (c >= 0x80)
				return false;
		} else if (c == '"') {
			return false;
		}
		if (c < 0x20 || c == 0x7f || c == '<' || c == '>')
			return false;
	}
	return true;
}

static int
check_local(struct pn_slice text)
{
	if (text.len > MAIL_LOCAL_MOST)
		return -E2BIG;
	if (text.len == 0)
		return -EINVAL;
	return text.data[0] == '"' ? (is_quoted(text) ? 0 : -EINVAL)
				   : (is_dot_atom(text) ? 0 : -EINVAL);
}

/* The '@' that ends the local part, which may hold others in quotes; `text.len` without any. */
static size_t
find_at(struct pn_slice text)
{
	for (size_t at = text.len; at-- > 0;)
		if (text.data[at] == '@')
			return at;
	return text.len;
}

/* ---- domain --------------------------------------------------------------------------------- */

static int
check_ldh(struct pn_slice text)
{
	size_t label = 0;

	for (size_t i = 0; i <= text.len; i++) {
		unsigned char c = i < text.len ? (unsigned char)text.data[i] : '.';

		if (c != '.') {
			if (!is_let_dig(c) && (c != '-' || label == 0))
				return -EINVAL;
			if (++label > LABEL_MOST)
				return -E2BIG;
			continue;
		}
		if (label == 0 || text.data[i - 1] == '-')
			return -EINVAL;
		label = 0;
	}
	return 0;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" in canonical form. */
static int
canonical_literal(struct pn_slice text, char ret[MAIL_DOMAIN_MOST + 1])
{
	static const char tag[] = "[IPv6:";
	char inner[INET6_ADDRSTRLEN], shown[INET6_ADDRSTRLEN];
	struct in6_addr bytes;
	bool six = text.len > strlen(tag) && text_is(pn_slice(text.data, strlen(tag)), tag);
	size_t skip = six ? strlen(tag) : 1, len;

	if (text.len < skip + 2 || text.data[text.len - 1] != ']')
		return -EINVAL;
	len = text.len - skip - 1;
	if (len >= sizeof(inner) || memchr(text.data + skip, '\0', len))
		return -EINVAL;
	memcpy(inner, text.data + skip, len);
	inner[len] = '\0';
	if (inet_pton(six ? AF_INET6 : AF_INET, inner, &bytes) != 1)
		return -EINVAL;
	inet_ntop(six ? AF_INET6 : AF_INET, &bytes, shown, sizeof(shown));
	strcpy(ret, six ? "[ipv6:" : "[");
	strcat(ret, shown);
	strcat(ret, "]");
	return 0;
}

/*
 * U-labels to A-labels. The mapping of UTS 46 may make any byte out of a compatibility character
 * (U+FF20 becomes '@'), so what comes out must be letters, digits and hyphens again. libidn2's own
 * flag for that, IDN2_USE_STD3_ASCII_RULES, drops such characters instead of refusing them (2.3.3).
 */
static int
canonical_utf8(struct pn_slice text, char ret[MAIL_DOMAIN_MOST + 1])
{
	char given[MAIL_DOMAIN_MOST + 1], *made = NULL;
	size_t len;
	int r;

	if (!is_clean_utf8(text))
		return -EINVAL;
	memcpy(given, text.data, text.len);
	given[text.len] = '\0';
	r = idn2_to_ascii_8z(given, &made, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
	if (r != IDN2_OK)
		return r == IDN2_TOO_BIG_DOMAIN || r == IDN2_TOO_BIG_LABEL ? -E2BIG : -EINVAL;
	len = strlen(made);
	r = len > MAIL_DOMAIN_MOST ? -E2BIG : check_ldh(pn_slice(made, len));
	if (r == 0) {
		memcpy(ret, made, len + 1);
		text_lower(ret, len);
	}
	idn2_free(made);
	return r;
}

static int
canonical_domain(struct pn_slice text, char ret[MAIL_DOMAIN_MOST + 1])
{
	int r;

	if (text.len > MAIL_DOMAIN_MOST)
		return -E2BIG;
	if (text.len == 0)
		return -EINVAL;
	if (text.data[0] == '[')
		return canonical_literal(text, ret);
	if (has_eightbit(text))
		return canonical_utf8(text, ret);
	r = check_ldh(text);
	if (r < 0)
		return r;
	memcpy(ret, text.data, text.len);
	ret[text.len] = '\0';
	text_lower(ret, text.len);
	return 0;
}

/* ---- whole addresses ------------------------------------------------------------------------ */

/* Both parts checked; the domain's canonical form comes along. */
static int
split(struct pn_slice text, bool utf8, size_t *ret_at, char ret_domain[MAIL_DOMAIN_MOST + 1])
{
	size_t at;
	int r;

	if (text.len > MAIL_ADDRESS_MOST)
		return -E2BIG;
	if (has_eightbit(text) && (!utf8 || !is_clean_utf8(text)))
		return -EINVAL;
	at = find_at(text);
	if (at == text.len)
		return -EINVAL;
	r = check_local(pn_slice(text.data, at));
	if (r < 0)
		return r;
	*ret_at = at;
	return canonical_domain(pn_slice(text.data + at + 1, text.len - at - 1), ret_domain);
}

int
mail_address_check(struct pn_slice text, bool utf8, char ret[MAIL_ADDRESS_SIZE])
{
	char domain[MAIL_DOMAIN_MOST + 1];
	size_t at;
	int r;

	r = text_is(text, "postmaster") ? 0 : split(text, utf8, &at, domain);
	if (r < 0)
		return r;
	memcpy(ret, text.data, text.len);
	ret[text.len] = '\0';
	return 0;
}

/*
 * RFC 5321 section 4.1.2: "ada"@x, "a\da"@x and ada@x are one mailbox. Writes the local part
 * without needless escapes, and without quotes where it stands without them; returns its length.
 */
static size_t
canonical_local(struct pn_slice local, char *ret)
{
	size_t len = 0, quoted = 0;

	if (local.data[0] != '"') {
		memcpy(ret, local.data, local.len);
		return local.len;
	}
	for (size_t i = 1; i < local.len - 1; i++) {
		if (local.data[i] == '\\')
			i++;
		ret[len++] = local.data[i];
	}
	if (is_dot_atom(pn_slice(ret, len)))
		return len;
	ret[quoted++] = '"';
	for (size_t i = 1; i < local.len - 1; i++) {
		if (local.data[i] == '\\')
			i++;
		if (local.data[i] == '"' || local.data[i] == '\\')
			ret[quoted++] = '\\';
		ret[quoted++] = local.data[i];
	}
	ret[quoted++] = '"';
	return quoted;
}

int
mail_address_canonical(const char *address, char ret[MAIL_ADDRESS_SIZE])
{
	struct pn_slice text = pn_slice_of(address);
	char domain[MAIL_DOMAIN_MOST + 1];
	size_t at;
	int r;

	if (text.len == 0 || text_is(text, "postmaster")) {
		strcpy(ret, text.len ? "postmaster" : ""); /* the null sender is its own form */
		return 0;
	}
	r = split(text, true, &at, domain);
	if (r < 0)
		return r;
	/* A-labels are longer than what was given. */
	if (at + 1 + strlen(domain) > MAIL_ADDRESS_MOST)
		return -E2BIG;
	at = canonical_local(pn_slice(address, at), ret);
	ret[at] = '@';
	strcpy(ret + at + 1, domain);
	return 0;
}

int
mail_domain_canonical(const char *domain, char ret[MAIL_DOMAIN_MOST + 1])
{
	return canonical_domain(pn_slice_of(domain), ret);
}

const char *
mail_address_domain(const char *address)
{
	const char *at = strrchr(address, '@');

	return at ? at + 1 : "";
}

bool
mail_address_is_utf8(const char *address)
{
	return has_eightbit(pn_slice_of(address));
}
