/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demand.c - what TLS to the next hop must show for a recipient: added up, compared, judged.
 *
 * Called by policy where demands are made, by the queue that groups by them, and by the courier for
 * each letter. Must never let the weaker of two demands win, nor take what cannot be read for
 * "nothing is demanded".
 */
#include <core/mail/plan.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

static const char *
text_or_none(const char *text)
{
	return text ? text : "";
}

bool
mail_demand_is_any(const struct mail_demand *demand)
{
	return demand->bits > 0 || demand->level > 0 || demand->version > 0 || demand->ciphers ||
	       demand->pins;
}

bool
mail_demand_equal(const struct mail_demand *one, const struct mail_demand *other)
{
	return one->bits == other->bits && one->level == other->level &&
	       one->waits == other->waits && one->version == other->version &&
	       strcmp(text_or_none(one->ciphers), text_or_none(other->ciphers)) == 0 &&
	       strcmp(text_or_none(one->pins), text_or_none(other->pins)) == 0;
}

struct mail_demand
mail_demand_copy(const struct mail_demand *demand, struct arena *arena)
{
	struct mail_demand copy = *demand;

	copy.ciphers = arena_text(arena, demand->ciphers);
	copy.pins = arena_text(arena, demand->pins);
	return copy;
}

/* ---- lists of words ---------------------------------------------------------------------------
 */

/* The next of what `separator` divides; false at the end. */
static bool
next_piece(struct pn_slice *rest, char separator, struct pn_slice *ret)
{
	const char *end;

	if (!rest->data)
		return false;
	end = memchr(rest->data, separator, rest->len);
	*ret = pn_slice(rest->data, end ? (size_t)(end - rest->data) : rest->len);
	*rest = end ? pn_slice(end + 1, rest->len - ret->len - 1) : pn_slice(NULL, 0);
	return true;
}

static bool
has_piece(const char *text, char separator, struct pn_slice wanted)
{
	struct pn_slice rest = pn_slice_of(text), piece;

	while (next_piece(&rest, separator, &piece))
		if (pn_slice_equals(piece, wanted))
			return true;
	return false;
}

/* Each list that is not there yet. */
static const char *
add_lists(const char *lists, const char *more, struct arena *arena)
{
	struct pn_slice rest, list;

	if (!more)
		return lists;
	if (!lists)
		return arena_text(arena, more);
	rest = pn_slice_of(more);
	while (next_piece(&rest, ';', &list))
		if (!has_piece(lists, ';', list))
			lists = arena_printf(arena, "%s;%.*s", lists, (int)list.len, list.data);
	return lists;
}

/* One of `words` is in each list. */
static bool
is_in_all(const char *lists, const char *const *words, size_t count)
{
	struct pn_slice rest = pn_slice_of(lists), list, word;

	while (next_piece(&rest, ';', &list)) {
		bool found = false;

		while (!found && next_piece(&list, ' ', &word))
			for (size_t i = 0; i < count && !found; i++)
				found = words[i] && pn_slice_equals(word, pn_slice_of(words[i]));
		if (!found)
			return false;
	}
	return true;
}

void
mail_demand_add(struct mail_demand *demand, const struct mail_demand *more, struct arena *arena)
{
	if (mail_demand_is_any(more))
		demand->waits = more->waits && (demand->waits || !mail_demand_is_any(demand));
	demand->bits = MAX(demand->bits, more->bits);
	demand->level = MAX(demand->level, more->level);
	demand->version = MAX(demand->version, more->version);
	demand->ciphers = add_lists(demand->ciphers, more->ciphers, arena);
	demand->pins = add_lists(demand->pins, more->pins, arena);
}

/* ---- pins ------------------------------------------------------------------------------------ */

static void
write_pin(const char *kind, const unsigned char *digest, char ret[MAIL_PIN_SIZE])
{
	size_t at = (size_t)g_snprintf(ret, MAIL_PIN_SIZE, "%s=", kind);

	for (size_t i = 0; i < MAIL_DIGEST_SIZE; i++, at += 2)
		g_snprintf(ret + at, MAIL_PIN_SIZE - at, "%02x", digest[i]);
}

/* Two digits an octet, perhaps with colons between them. */
static bool
read_hex(const char *text, unsigned char ret[MAIL_DIGEST_SIZE])
{
	for (size_t i = 0; i < MAIL_DIGEST_SIZE; i++, text += 2) {
		if (i > 0 && *text == ':')
			text++;
		if (!g_ascii_isxdigit(text[0]) || !g_ascii_isxdigit(text[1]))
			return false;
		ret[i] = (unsigned char)(g_ascii_xdigit_value(text[0]) << 4 |
					 g_ascii_xdigit_value(text[1]));
	}
	return *text == '\0';
}

/* 43 characters and "=". */
static bool
read_base64(const char *text, unsigned char ret[MAIL_DIGEST_SIZE])
{
	gsize len = 0;
	guchar *bytes;
	bool good;

	if (strlen(text) != 44 || text[43] != '=' ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != 43)
		return false;
	bytes = g_base64_decode(text, &len);
	good = len == MAIL_DIGEST_SIZE;
	if (good)
		memcpy(ret, bytes, MAIL_DIGEST_SIZE);
	g_free(bytes);
	return good;
}

int
mail_demand_pin(const char *text, char ret[MAIL_PIN_SIZE])
{
	unsigned char digest[MAIL_DIGEST_SIZE];
	bool certificate = g_str_has_prefix(text, "cert-");

	text += certificate ? strlen("cert-") : 0;
	if (!g_str_has_prefix(text, "sha256/"))
		return -EINVAL;
	text += strlen("sha256/");
	if (!read_hex(text, digest) && !read_base64(text, digest))
		return -EINVAL;
	write_pin(certificate ? "cert" : "key", digest, ret);
	return 0;
}

static bool
is_pinned(const char *pins, const struct mail_shown *shown)
{
	char key[MAIL_PIN_SIZE], certificate[MAIL_PIN_SIZE];
	const char *words[] = { key, certificate };

	if (!shown->key || !shown->certificate)
		return false;
	write_pin("key", shown->key, key);
	write_pin("cert", shown->certificate, certificate);
	return is_in_all(pins, words, 2);
}

/* ---- judging --------------------------------------------------------------------------------- */

static const char *
version_name(int32_t version)
{
	return version == PN_TLS_1_3 ? "TLSv1.3" : version == PN_TLS_1_2 ? "TLSv1.2" : "TLS";
}

/* The level is too low. */
static const char *
unmet_level(const struct mail_demand *demand, const struct mail_shown *shown, const char *code,
    const char *host, struct arena *arena)
{
	if (shown->level < PN_TLS_ENCRYPTED)
		return arena_printf(arena, "%s encryption demanded and not offered", code);
	if (demand->level == PN_TLS_DANE)
		return arena_printf(arena, "%s %s is not authenticated by DANE", code, host);
	if (demand->level > PN_TLS_NAME && shown->level == PN_TLS_NAME)
		return arena_printf(
		    arena, "%s %s is not authenticated by MTA-STS or DANE", code, host);
	if (shown->level < PN_TLS_TRUSTED)
		return arena_printf(arena, "%s certificate not trusted", code);
	return arena_printf(arena, "%s certificate not valid for %s", code, host);
}

const char *
mail_demand_unmet(const struct mail_demand *demand, const struct mail_shown *shown,
    const char *host, struct arena *arena)
{
	/* The first one is what partners' administrators know and look for; the others name why. */
	const char *code = demand->waits ? "403 4.7.0" : "503 5.7.0";

	if (!mail_demand_is_any(demand))
		return NULL;
	if (shown->bits < demand->bits)
		return arena_printf(arena, "%s encryption too weak %d less than %d", code,
		    (int)shown->bits, (int)demand->bits);
	if (shown->level < MAX(demand->level, PN_TLS_ENCRYPTED))
		return unmet_level(demand, shown, code, host, arena);
	if (shown->version < demand->version)
		return arena_printf(arena, "%s version of TLS too old %s less than %s", code,
		    version_name(shown->version), version_name(demand->version));
	if (demand->ciphers && !is_in_all(demand->ciphers, &shown->cipher, 1))
		return arena_printf(
		    arena, "%s cipher not allowed %s", code, text_or_none(shown->cipher));
	if (demand->pins && !is_pinned(demand->pins, shown))
		return arena_printf(
		    arena, "%s certificate of %s not one of those pinned", code, host);
	return NULL;
}

const char *
mail_demand_text(const struct mail_demand *demand, struct arena *arena)
{
	const char *text;

	if (!mail_demand_is_any(demand))
		return "";
	text = arena_printf(
	    arena, "TLS of %d bits at level %d", (int)demand->bits, (int)demand->level);
	if (demand->version > 0)
		text = arena_printf(arena, "%s, %s or newer", text, version_name(demand->version));
	if (demand->ciphers)
		text = arena_printf(arena, "%s, cipher one of %s", text, demand->ciphers);
	if (demand->pins)
		text = arena_printf(arena, "%s, pinned to %s", text, demand->pins);
	return text;
}
