/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pgp.c - PGP/MIME (RFC 3156): the provider of the method "pgp".
 *
 * Called by the core for a group of recipients. Must never write a message that somebody of the
 * group cannot open, nor anything of the clear one outside of what is encrypted.
 */
#include "pgp.h"
#include "inner.h"
#include <errno.h>
#include <openssl/rand.h>

#define BOUNDARY_BYTES 18

struct rendering {
	struct pn_call *call;
	struct pn_txn *txn;
	char boundary[2 * BOUNDARY_BYTES + 8];
	bool begun;
};

static int
make_boundary(struct rendering *rendering)
{
	unsigned char bytes[BOUNDARY_BYTES];
	char *at = rendering->boundary;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	memcpy(at, "=_pgp_", 6);
	for (size_t i = 0; i < sizeof(bytes); i++)
		g_snprintf(at + 6 + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int
write_text(struct pn_call *call, char *text)
{
	int r = pn_render_body(call, pn_slice_of(text));

	g_free(text);
	return r;
}

/* The header, and all of the body that stands before the armour. */
static int
begin(struct rendering *rendering)
{
	char *type = g_strdup_printf("multipart/encrypted; "
				     "protocol=\"application/pgp-encrypted\";\r\n boundary=\"%s\"",
	    rendering->boundary);
	const struct pki *cfg = pn_settings(rendering->call);
	int r = pki_outer_render(rendering->call, rendering->txn, cfg->hide_subject);

	if (r == 0)
		r = pn_render_header(rendering->call, "Content-Type", type);
	g_free(type);
	if (r < 0)
		return r;
	return write_text(rendering->call,
	    g_strdup_printf("This is an OpenPGP/MIME encrypted message (RFC 3156)\r\n"
			    "--%s\r\n"
			    "Content-Type: application/pgp-encrypted\r\n"
			    "Content-Description: PGP/MIME version identification\r\n"
			    "\r\n"
			    "Version: 1\r\n"
			    "\r\n"
			    "--%s\r\n"
			    "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n"
			    "Content-Description: OpenPGP encrypted message\r\n"
			    "Content-Disposition: inline; filename=\"encrypted.asc\"\r\n"
			    "\r\n",
		rendering->boundary, rendering->boundary));
}

static int
write_armour(void *arg, struct pn_slice bytes)
{
	struct rendering *rendering = arg;
	int r = rendering->begun ? 0 : begin(rendering);

	rendering->begun = true;
	return r < 0 ? r : pn_render_body(rendering->call, bytes);
}

/* ---- members --------------------------------------------------------------------------------- */

struct members {
	struct pn_slice *keys;
	size_t *index, count;
};

static void
remove_member(struct members *members, size_t at)
{
	members->count--;
	memmove(&members->keys[at], &members->keys[at + 1],
	    (members->count - at) * sizeof(*members->keys));
	memmove(&members->index[at], &members->index[at + 1],
	    (members->count - at) * sizeof(*members->index));
}

static int
gather(struct pn_call *call, struct pn_txn *txn, struct members *members)
{
	int r = 0;

	for (size_t i = 0; i < pn_group_count(txn) && r == 0; i++) {
		struct pn_slice choice = pn_group_choice(txn, i);

		if (choice.len == 0) {
			r = pn_group_refuse(call, i, "there is no OpenPGP key to encrypt to");
			continue;
		}
		members->keys[members->count] = choice;
		members->index[members->count++] = i;
	}
	return r;
}

/* Each key that is of no use costs its owner the place, and the others nothing. */
static int
encrypt(
    struct rendering *rendering, struct members *members, const GArray *body, struct pn_error *err)
{
	const struct pki *cfg = pn_settings(rendering->call);
	int r = -EKEYREJECTED;

	while (r == -EKEYREJECTED && members->count > 0) {
		const struct pn_openpgp_order order = {
			PN_OPENPGP_HEAD,
			.flags = cfg->pgp_hide_recipients ? PN_OPENPGP_HIDDEN : 0,
			.keys = members->keys,
			.key_count = members->count,
			.body = (const struct pn_slice *)(const void *)body->data,
			.body_count = body->len,
		};
		size_t bad = 0;

		r = pn_openpgp_encrypt(rendering->call, &order, write_armour, rendering, &bad, err);
		if (r != -EKEYREJECTED)
			return r;
		if (pn_group_refuse(rendering->call, members->index[bad],
			"the OpenPGP key cannot be encrypted to: it has expired, was revoked, or "
			"is damaged") < 0)
			return -EINVAL;
		remove_member(members, bad);
	}
	return 0;
}

/* What is encrypted, in pieces: the message's own bytes as they are, others copied. */
struct pieces {
	struct pn_slice message;
	GArray *slices;
	GStringChunk *copies;
};

static int
add_piece(void *arg, struct pn_slice bytes)
{
	struct pieces *pieces = arg;
	uintptr_t at = (uintptr_t)bytes.data, begin = (uintptr_t)pieces->message.data;

	if (at < begin || at >= begin + pieces->message.len)
		bytes.data = g_string_chunk_insert_len(
		    pieces->copies, bytes.data, (gssize)bytes.len);
	g_array_append_val(pieces->slices, bytes);
	return 0;
}

static int
render_members(struct rendering *rendering, struct members *members, struct pn_error *err)
{
	const struct pki *cfg = pn_settings(rendering->call);
	struct pieces pieces = { pn_txn_bytes(rendering->txn),
		g_array_new(FALSE, FALSE, sizeof(struct pn_slice)), g_string_chunk_new(1024) };
	int r = pki_inner_write(rendering->txn, cfg->hide_subject, add_piece, &pieces);

	if (r == 0)
		r = encrypt(rendering, members, pieces.slices, err);
	g_array_free(pieces.slices, TRUE);
	g_string_chunk_free(pieces.copies);
	if (r == 0 && rendering->begun)
		r = write_text(
		    rendering->call, g_strdup_printf("\r\n--%s--\r\n", rendering->boundary));
	return r;
}

struct pn_verdict
pgp_render(struct pn_call *call, struct pn_txn *txn)
{
	struct rendering rendering = { .call = call, .txn = txn };
	size_t count = pn_group_count(txn);
	struct members members = { g_new(struct pn_slice, count), g_new(size_t, count), 0 };
	struct pn_error err = { 0 };
	int r = make_boundary(&rendering);

	if (r == 0 && pn_txn_bytes(txn).len == 0)
		r = pn_error_set(&err, -ENOMEM, "the message cannot be had");
	if (r == 0)
		r = gather(call, txn, &members);
	if (r == 0)
		r = render_members(&rendering, &members, &err);
	g_free(members.keys);
	g_free(members.index);
	return r < 0 ? pn_fault(call, r, "%s", err.text[0] ? err.text : "cannot encrypt")
		     : pn_pass();
}
