/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signed_mail.c - multipart/signed by edits of the message.
 *
 * Called by sign.c. Must never sign other bytes than those that will stand in the message: what is
 * signed has seven bits and CRLF line ends, so that nobody has to change it on its way.
 */
#include "signed_mail.h"
#include "signature.h"
#include <errno.h>
#include <openssl/rand.h>

#define BOUNDARY_SIZE 48
#define CONTENT       "Content-"

/* ---- the entity ------------------------------------------------------------------------------ */

static size_t
line_end(struct pn_slice bytes, size_t at)
{
	const char *lf = memchr(bytes.data + at, '\n', bytes.len - at);

	return lf ? (size_t)(lf - bytes.data) + 1 : bytes.len;
}

static bool
is_empty_line(struct pn_slice bytes, size_t at, size_t end)
{
	return end - at == 2 && memcmp(bytes.data + at, "\r\n", 2) == 0;
}

static bool
is_content_field(struct pn_slice bytes, size_t at)
{
	return bytes.len - at > strlen(CONTENT) &&
	       g_ascii_strncasecmp(bytes.data + at, CONTENT, strlen(CONTENT)) == 0;
}

GString *
signed_mail_entity_header(struct pn_slice message)
{
	GString *ret = g_string_new(NULL);
	bool taking = false;

	for (size_t at = 0, end; at < message.len; at = end) {
		end = line_end(message, at);
		if (is_empty_line(message, at, end))
			break;
		if (message.data[at] != ' ' && message.data[at] != '\t')
			taking = is_content_field(message, at);
		if (taking)
			g_string_append_len(ret, message.data + at, (gssize)(end - at));
	}
	return ret;
}

struct pn_slice
signed_mail_body(struct pn_slice message)
{
	for (size_t at = 0, end; at < message.len; at = end) {
		end = line_end(message, at);
		if (is_empty_line(message, at, end))
			return pn_slice(message.data + end, message.len - end);
	}
	return pn_slice(message.data + message.len, 0);
}

/* ---- edits ----------------------------------------------------------------------------------- */

struct making {
	struct pn_call *call;
	struct pn_txn *txn;
	struct pn_slice body, old; /* as it is signed, as it stands */
	GString *fields, *head, *tail;
	char boundary[BOUNDARY_SIZE];
};

static int
make_boundary(char ret[BOUNDARY_SIZE])
{
	unsigned char chance[16];
	size_t at = 0;

	if (RAND_bytes(chance, sizeof(chance)) != 1)
		return -EIO;
	at = g_strlcpy(ret, "=_sig-", BOUNDARY_SIZE);
	for (size_t i = 0; i < sizeof(chance); i++, at += 2)
		g_snprintf(ret + at, 3, "%02x", chance[i]);
	return 0;
}

static void
append_base64(GString *to, const unsigned char *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += 48) {
		char *line = g_base64_encode(bytes + at, len - at < 48 ? len - at : 48);

		g_string_append(to, line);
		g_string_append(to, "\r\n");
		g_free(line);
	}
}

static int
sign_entity(struct making *making, const struct identity *identity)
{
	struct pn_slice pieces[] = { pn_slice(making->fields->str, making->fields->len),
		pn_slice("\r\n", 2), making->body };
	unsigned char *der;
	size_t len;
	int r = signature_make(identity, pieces, G_N_ELEMENTS(pieces), &der, &len);

	if (r < 0)
		return r;
	g_string_printf(making->tail,
	    "\r\n--%s\r\n"
	    "Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n"
	    "Content-Transfer-Encoding: base64\r\n"
	    "Content-Disposition: attachment; filename=\"smime.p7s\"\r\n"
	    "Content-Description: S/MIME cryptographic signature\r\n\r\n",
	    making->boundary);
	append_base64(making->tail, der, len);
	g_string_append_printf(making->tail, "--%s--\r\n", making->boundary);
	OPENSSL_free(der);
	return 0;
}

/* Only what differs is replaced: attachments that had seven bits stay where they are. */
static int
edit_middle(const struct making *making)
{
	struct pn_slice old = making->old, new = making->body;
	size_t least = old.len < new.len ? old.len : new.len, front = 0, back = 0;

	while (front < least && old.data[front] == new.data[front])
		front++;
	while (back < least - front && old.data[old.len - 1 - back] == new.data[new.len - 1 - back])
		back++;
	if (front + back == old.len && old.len == new.len)
		return 0;
	return pn_body_splice(making->call, front, old.len - front - back,
	    pn_slice(new.data + front, new.len - front - back));
}

static int
edit_body(const struct making *making)
{
	int r = pn_body_splice(making->call, 0, 0, pn_slice(making->head->str, making->head->len));

	if (r == 0)
		r = edit_middle(making);
	return r < 0 ? r
		     : pn_body_splice(making->call, making->old.len, 0,
			   pn_slice(making->tail->str, making->tail->len));
}

static int
edit_header(const struct making *making)
{
	struct pn_header field;
	char type[256];
	int r = 0;

	for (size_t i = 0; r == 0 && pn_header_at(making->txn, i, &field); i++)
		if (field.name.len > strlen(CONTENT) &&
		    g_ascii_strncasecmp(field.name.data, CONTENT, strlen(CONTENT)) == 0)
			r = pn_header_remove(making->call, i);
	g_snprintf(type, sizeof(type),
	    "multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256; "
	    "boundary=\"%s\"",
	    making->boundary);
	if (r == 0 && !pn_header_find(making->txn, "MIME-Version", 0, &field))
		r = pn_header_append(making->call, "MIME-Version", "1.0");
	return r < 0 ? r : pn_header_append(making->call, "Content-Type", type);
}

static int
make(struct making *making, const struct identity *identity, struct pn_error *err)
{
	int r = make_boundary(making->boundary);

	if (making->fields->len == 0)
		g_string_assign(making->fields, "Content-Type: text/plain; charset=us-ascii\r\n");
	if (r == 0)
		r = sign_entity(making, identity);
	g_string_printf(making->head,
	    "This is a signed message in MIME format.\r\n\r\n--%s\r\n%s\r\n", making->boundary,
	    making->fields->str);
	if (r == 0)
		r = edit_header(making);
	if (r == 0)
		r = edit_body(making);
	return r < 0 ? pn_error_set(err, r, "the signature cannot be put in") : 0;
}

/* A NUL is eight bits' business as well: converted, or the message is refused. */
static bool
has_seven_bits(struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if ((bytes.data[i] & 0x80) || bytes.data[i] == '\0')
			return false;
	return true;
}

int
signed_mail_make(
    struct pn_call *call, struct pn_txn *txn, const struct identity *identity, struct pn_error *err)
{
	struct making making = { .call = call, .txn = txn, .old = pn_txn_body(txn) };
	struct pn_slice message;
	int r = pn_message_7bit(call, &message, err);

	if (r < 0)
		return r;
	making.body = signed_mail_body(message);
	making.fields = signed_mail_entity_header(message);
	if (!has_seven_bits(making.body) ||
	    !has_seven_bits(pn_slice(making.fields->str, making.fields->len)))
		r = pn_error_set(err, -ENOTSUP, "it has bytes that mail of seven bits has not");
	making.head = g_string_new(NULL);
	making.tail = g_string_new(NULL);
	if (r == 0)
		r = make(&making, identity, err);
	g_string_free(making.fields, TRUE);
	g_string_free(making.head, TRUE);
	g_string_free(making.tail, TRUE);
	return r;
}
