/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whole.c - finds mail that its sender has encrypted: S/MIME, PGP/MIME, a body that is one armoured
 * PGP message (C13).
 *
 * Called at selection. Must never take a mail for encrypted of which a part is not: what begins as
 * an encrypted one and goes on in clear is clear.
 */
#include "whole.h"
#include "pki.h"
#include <errno.h>
#include <glib.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <pthread.h>
#include <stdio.h>

#define KEPT       64u /* answers */
#define WHOLE_MOST (256u * 1024 * 1024)

/* ---- CMS ------------------------------------------------------------------------------------- */

struct der {
	const unsigned char *at, *end;
};

#define DEPTH_MOST 16

static bool skip_element(struct der *in, int depth);

/* Up to the end-of-contents octets of a value of no definite length. */
static bool
skip_indefinite(struct der *in, int depth)
{
	while (in->end - in->at >= 2 && (in->at[0] != 0 || in->at[1] != 0))
		if (!skip_element(in, depth + 1))
			return false;
	if (in->end - in->at < 2)
		return false;
	in->at += 2;
	return true;
}

static bool
skip_element(struct der *in, int depth)
{
	const unsigned char *at = in->at;
	int tag, class, kind;
	long len;

	if (depth > DEPTH_MOST || in->at >= in->end)
		return false;
	kind = ASN1_get_object(&at, &len, &tag, &class, in->end - in->at);
	if (kind & 0x80)
		return false;
	in->at = at;
	if (kind & 1)
		return skip_indefinite(in, depth);
	in->at += len;
	return true;
}

static bool
is_whole_cms(struct pn_slice der)
{
	const unsigned char *at = (const unsigned char *)der.data;
	struct der in = { at, at + der.len };
	ASN1_OBJECT *type = NULL;
	int tag, class, nid;
	long len;

	if (der.len == 0 || !skip_element(&in, 0) || in.at != in.end)
		return false;
	if (ASN1_get_object(&at, &len, &tag, &class, (long)der.len) & 0x80 ||
	    tag != V_ASN1_SEQUENCE)
		return false;
	type = d2i_ASN1_OBJECT(NULL, &at, in.end - at);
	nid = type ? OBJ_obj2nid(type) : NID_undef;
	ASN1_OBJECT_free(type);
	return nid == NID_pkcs7_enveloped || nid == NID_id_smime_ct_authEnvelopedData;
}

bool
pki_is_whole_cms(struct pn_slice der)
{
	bool is = is_whole_cms(der);

	ERR_clear_error();
	return is;
}

/* ---- OpenPGP --------------------------------------------------------------------------------- */

struct packets {
	const unsigned char *at, *end;
	int tag;
	bool partial;
};

/* The length of a new-format part; SIZE_MAX: there is none. */
static size_t
new_length(struct packets *in)
{
	size_t left = (size_t)(in->end - in->at);
	const unsigned char *at = in->at;

	in->partial = false;
	if (left >= 1 && at[0] < 192) {
		in->at += 1;
		return at[0];
	}
	if (left >= 2 && at[0] < 224) {
		in->at += 2;
		return ((size_t)(at[0] - 192) << 8) + at[1] + 192;
	}
	if (left >= 5 && at[0] == 255) {
		in->at += 5;
		return (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
	}
	if (left >= 1 && at[0] >= 224 && at[0] < 255) {
		in->at += 1;
		in->partial = true;
		return (size_t)1 << (at[0] & 0x1f);
	}
	return SIZE_MAX;
}

static size_t
old_length(struct packets *in, unsigned type)
{
	size_t octets = (size_t)1 << type, length = 0;

	if (type == 3) { /* to the end: only GnuPG of old wrote that */
		return (size_t)(in->end - in->at);
	}
	if ((size_t)(in->end - in->at) < octets)
		return SIZE_MAX;
	for (size_t i = 0; i < octets; i++)
		length = length << 8 | in->at[i];
	in->at += octets;
	return length;
}

static bool
skip_packet(struct packets *in)
{
	unsigned head = *in->at++;
	size_t len;

	if (!(head & 0x80))
		return false;
	if (!(head & 0x40)) {
		in->tag = (head >> 2) & 0x0f;
		in->partial = false;
		len = old_length(in, head & 3);
	} else {
		in->tag = head & 0x3f;
		len = new_length(in);
	}
	for (;;) {
		if (len > (size_t)(in->end - in->at))
			return false;
		in->at += len;
		if (!in->partial)
			return true;
		len = new_length(in);
	}
}

/* Session keys, then one packet of encrypted data, then nothing. */
bool
pki_is_whole_pgp(struct pn_slice packets)
{
	const unsigned char *at = (const unsigned char *)packets.data;
	struct packets in = { at, at + packets.len, 0, false };
	unsigned keys = 0;

	while (in.at < in.end) {
		if (!skip_packet(&in))
			return false;
		if (in.tag == 1 || in.tag == 3)
			keys++;
		else if (in.tag == 9 || in.tag == 18 || in.tag == 20)
			return keys > 0 && in.at == in.end;
		else if (in.tag != 10) /* a marker says nothing */
			return false;
	}
	return false;
}

static const char begin_message[] = "-----BEGIN PGP MESSAGE-----";
static const char end_message[] = "-----END PGP MESSAGE-----";

static struct pn_slice
strip_front(struct pn_slice text)
{
	while (text.len > 0 && g_ascii_isspace(*text.data)) {
		text.data++;
		text.len--;
	}
	return text;
}

static struct pn_slice
strip(struct pn_slice text)
{
	while (text.len > 0 && g_ascii_isspace(text.data[text.len - 1]))
		text.len--;
	return strip_front(text);
}

static struct pn_slice
next_line(struct pn_slice *text)
{
	const char *end = memchr(text->data, '\n', text->len);
	size_t len = end ? (size_t)(end - text->data) : text->len;
	struct pn_slice line = { text->data, len };

	text->data += end ? len + 1 : len;
	text->len -= end ? len + 1 : len;
	while (line.len > 0 && g_ascii_isspace(line.data[line.len - 1]))
		line.len--;
	return line;
}

/* Fields of the armour could say anything in clear, so only those that say nothing are taken. */
static bool
is_harmless(struct pn_slice line)
{
	static const char *const names[] = { "Version: ", "Charset: ", "Hash: " };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (line.len > strlen(names[i]) && line.len < 80 &&
		    strncmp(line.data, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static bool
is_base64(struct pn_slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!g_ascii_isalnum(line.data[i]) && !strchr("+/=", line.data[i]))
			return false;
	return line.len > 0 && line.len <= 100;
}

bool
pki_is_whole_armour(struct pn_slice text)
{
	struct pn_slice rest = strip(text), line = next_line(&rest);
	GString *coded = g_string_new(NULL);
	bool whole, sound = pn_slice_equals(line, pn_slice_of(begin_message));
	guchar *bytes;
	gsize len;

	while (sound && rest.len > 0 && (line = next_line(&rest)).len > 0)
		sound = is_harmless(line);
	while (sound && rest.len > 0) {
		line = next_line(&rest);
		if (pn_slice_equals(line, pn_slice_of(end_message)))
			break;
		if (line.len == 5 && *line.data == '=') /* the checksum */
			continue;
		sound = is_base64(line);
		g_string_append_len(coded, line.data, (gssize)line.len);
	}
	sound = sound && rest.len == 0 && pn_slice_equals(line, pn_slice_of(end_message));
	bytes = g_base64_decode(coded->str, &len);
	whole = sound && pki_is_whole_pgp(pn_slice(bytes, len));
	g_free(bytes);
	g_string_free(coded, TRUE);
	return whole;
}

/* ---- a mail ---------------------------------------------------------------------------------- */

static bool
is_cms_part(struct pn_call *call, const struct pn_part *part)
{
	struct pn_slice bytes;

	return (pn_part_is(part, "application/pkcs7-mime") ||
		   pn_part_is(part, "application/x-pkcs7-mime")) &&
	       pn_part_bytes(call, part, WHOLE_MOST, &bytes) == 0 && pki_is_whole_cms(bytes);
}

/* RFC 3156 section 4: two parts, and the first says "Version: 1". */
static bool
is_pgp_mime(struct pn_call *call, const struct pn_part *part)
{
	const struct pn_part *control = pn_part_first_child(part);
	const struct pn_part *data = control ? pn_part_sibling(control) : NULL;
	struct pn_slice bytes;

	return pn_part_is(part, "multipart/encrypted") && data && !pn_part_sibling(data) &&
	       pn_part_is(control, "application/pgp-encrypted") &&
	       pn_part_is(data, "application/octet-stream") &&
	       pn_part_bytes(call, control, 1024, &bytes) == 0 &&
	       pn_slice_equals(strip(bytes), pn_slice_of("Version: 1")) &&
	       pn_part_bytes(call, data, WHOLE_MOST, &bytes) == 0 &&
	       (pki_is_whole_armour(bytes) || pki_is_whole_pgp(bytes));
}

static bool
is_inline(struct pn_call *call, const struct pn_part *part)
{
	struct pn_slice bytes;

	return pn_part_is(part, "text/plain") &&
	       pn_part_bytes(call, part, WHOLE_MOST, &bytes) == 0 && pki_is_whole_armour(bytes);
}

/* One line that programs write there for readers of old, of which none tells anything. */
static bool
is_preamble_harmless(struct pn_slice text)
{
	static const char usual[] = "This is an OpenPGP/MIME encrypted message";

	return text.len == 0 || (text.len < 80 && text.len >= strlen(usual) &&
				    memcmp(text.data, usual, strlen(usual)) == 0);
}

/* What stands before the first boundary of a multipart and behind the last is clear, too. */
static bool
has_margins(const struct pn_txn *txn, const struct pn_part *root)
{
	const struct pn_part *last = NULL, *part = pn_part_first_child(root);
	const char *boundary = pn_part_parameter(root, "boundary");
	struct pn_slice body = pn_txn_body(txn), front, back;
	char line[80];
	bool margins;

	if (!part)
		return false;
	if (!boundary || snprintf(line, sizeof(line), "--%s--", boundary) >= (int)sizeof(line))
		return true;
	front = strip(pn_slice(body.data, (size_t)(pn_part_header(part).data - body.data)));
	for (; part; part = pn_part_sibling(part))
		last = part;
	back = pn_part_body(last);
	back = strip(pn_slice(
	    back.data + back.len, (size_t)(body.data + body.len - (back.data + back.len))));
	margins = !pn_slice_equals(back, pn_slice_of(line));
	line[strlen(line) - 2] = '\0';
	if (front.len < strlen(line) ||
	    memcmp(front.data + front.len - strlen(line), line, strlen(line)) != 0)
		return true;
	front.len -= strlen(line);
	return margins || !is_preamble_harmless(strip(front));
}

static int
look(struct pn_call *call, struct pn_txn *txn, struct pn_error *err)
{
	const struct pn_part *root;
	int r = pn_parts(call, &root, err);

	if (r == -EOVERFLOW) /* nobody can say what it is */
		return 0;
	if (r < 0)
		return r;
	return (is_cms_part(call, root) || is_pgp_mime(call, root) || is_inline(call, root)) &&
	       !has_margins(txn, root);
}

/* Most mail is neither: seen without reading more than the header and some lines. */
static bool
may_be(struct pn_call *call, const struct pn_txn *txn)
{
	const char *type = pn_header_text(call, "Content-Type", 0);
	struct pn_header found;

	if (pn_header_find(txn, "Content-Type", 1, &found))
		return false; /* readers differ on what it is */
	if (!type || g_ascii_strncasecmp(type, "text/plain", 10) == 0) {
		struct pn_slice body = strip_front(pn_txn_body(txn));

		return body.len > strlen(begin_message) &&
		       memcmp(body.data, begin_message, strlen(begin_message)) == 0;
	}
	return g_ascii_strncasecmp(type, "application/", 12) == 0 ||
	       g_ascii_strncasecmp(type, "multipart/encrypted", 19) == 0;
}

/* ---- answers by message ---------------------------------------------------------------------- */

struct pki_wholes {
	pthread_mutex_t lock;
	size_t next;
	struct {
		char id[64];
		int answer;
	} kept[KEPT];
};

struct pki_wholes *
pki_wholes_new(void)
{
	struct pki_wholes *wholes = g_new0(struct pki_wholes, 1);

	pthread_mutex_init(&wholes->lock, NULL);
	return wholes;
}

void
pki_wholes_free(struct pki_wholes *wholes)
{
	pthread_mutex_destroy(&wholes->lock);
	g_free(wholes);
}

static int
kept(struct pki_wholes *wholes, const char *id)
{
	int answer = -1;

	pthread_mutex_lock(&wholes->lock);
	for (size_t i = 0; i < KEPT; i++)
		if (strcmp(wholes->kept[i].id, id) == 0)
			answer = wholes->kept[i].answer;
	pthread_mutex_unlock(&wholes->lock);
	return answer;
}

static void
keep(struct pki_wholes *wholes, const char *id, int answer)
{
	pthread_mutex_lock(&wholes->lock);
	g_strlcpy(wholes->kept[wholes->next].id, id, sizeof(wholes->kept[0].id));
	wholes->kept[wholes->next].answer = answer;
	wholes->next = (wholes->next + 1) % KEPT;
	pthread_mutex_unlock(&wholes->lock);
}

int
pki_whole_asked(struct pn_call *call, struct pn_txn *txn, struct pn_error *err)
{
	struct pki_state *state = pn_state(call);
	char id[64];
	int answer;

	/* The same message at another time may be another view of it. */
	snprintf(id, sizeof(id), "%.40s %zu", pn_txn_id(txn), pn_txn_size(txn));
	answer = kept(state->wholes, id);
	if (answer >= 0)
		return answer;
	answer = may_be(call, txn) ? look(call, txn, err) : 0;
	if (answer >= 0)
		keep(state->wholes, id, answer);
	return answer;
}
