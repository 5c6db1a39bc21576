/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smime.c - the providers "smime" and "smime-gcm": one CMS for all members of a group (RFC 8551,
 * RFC 5652, RFC 5083).
 *
 * Called at PN_STAGE_PROTECT. What is to be encrypted goes through piece by piece, so nothing here
 * grows with the message. Must never write a rendering that a member it did not refuse cannot open,
 * nor any of the message outside of it.
 */
#include "inner.h"
#include "pki.h"
#include <errno.h>
#include <glib.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>

#define LINE_BYTES 57u                /* of a line of base64 */
#define PIECE      (LINE_BYTES * 512) /* is rendered at a time */

struct member {
	size_t index;
	struct pki_choice choice;
};

/* ---- recipients ------------------------------------------------------------------------------ */

/* RFC 5753 section 7: SHA-256; OpenSSL would take SHA-1. */
static bool
agree(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) > 0;
}

static bool
pad(EVP_PKEY_CTX *ctx, const struct pki_choice *choice)
{
	if (!pki_declares(choice->declared, NID_rsaesOaep))
		return true;
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) > 0 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) > 0;
}

/* With an RSA key it is tried: of what fails in the CMS, nobody says for whom. */
static bool
can_encrypt(const struct pki_choice *choice)
{
	static const unsigned char bytes[32];
	EVP_PKEY *key = X509_get0_pubkey(choice->leaf);
	int type = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;
	EVP_PKEY_CTX *ctx;
	unsigned char *out;
	size_t len = 0;
	bool can;

	if (type != EVP_PKEY_RSA)
		return type == EVP_PKEY_EC;
	ctx = EVP_PKEY_CTX_new(key, NULL);
	can = ctx && EVP_PKEY_encrypt_init(ctx) > 0 && pad(ctx, choice) &&
	      EVP_PKEY_encrypt(ctx, NULL, &len, bytes, sizeof(bytes)) > 0;
	out = g_malloc(len + 1);
	can = can && EVP_PKEY_encrypt(ctx, out, &len, bytes, sizeof(bytes)) > 0;
	g_free(out);
	EVP_PKEY_CTX_free(ctx);
	return can;
}

static bool
add_recipient(CMS_ContentInfo *cms, const struct pki_choice *choice)
{
	CMS_RecipientInfo *info = CMS_add1_recipient_cert(cms, choice->leaf, CMS_KEY_PARAM);
	EVP_PKEY_CTX *ctx = info ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;

	if (!ctx)
		return false;
	return CMS_RecipientInfo_type(info) == CMS_RECIPINFO_AGREE ? agree(ctx) : pad(ctx, choice);
}

/* By the certificates themselves, so that the order tells nothing of the envelope's. */
static int
compare_members(gconstpointer one, gconstpointer other)
{
	return X509_cmp(
	    ((const struct member *)one)->choice.leaf, ((const struct member *)other)->choice.leaf);
}

static void
clear_member(gpointer member)
{
	pki_choice_clear(&((struct member *)member)->choice);
}

/* Those who can be served; the others are refused, each with the reason. */
static int
gather(struct pn_call *call, const struct pn_txn *txn, GArray *ret)
{
	int r = 0;

	for (size_t i = 0; i < pn_group_count(txn) && r == 0; i++) {
		struct member member = { .index = i };

		if (pki_choice_read(pn_group_choice(txn, i), &member.choice) < 0) {
			r = pn_group_refuse(call, i, "the certificate cannot be read");
		} else if (!can_encrypt(&member.choice)) {
			r = pn_group_refuse(
			    call, i, "the certificate's key is of a kind that cannot encrypt");
			clear_member(&member);
		} else {
			g_array_append_val(ret, member);
		}
	}
	g_array_sort(ret, compare_members);
	return r;
}

/* Several members may have one certificate. `ret_bad`: whom OpenSSL would not take. */
static bool
add_recipients(CMS_ContentInfo *cms, const GArray *members, size_t *ret_bad)
{
	for (guint i = 0; i < members->len; i++) {
		const struct member *member = &g_array_index(members, struct member, i);

		if (i > 0 && compare_members(member, member - 1) == 0)
			continue;
		*ret_bad = member->index;
		if (!add_recipient(cms, &member->choice))
			return false;
	}
	return true;
}

/* ---- base64 into the rendering --------------------------------------------------------------- */

struct output {
	struct pn_call *call;
	int r;
	size_t len;
	unsigned char bytes[PIECE];
};

static void
flush(struct output *output)
{
	char text[PIECE / LINE_BYTES * 78 + 80];
	size_t len = 0;

	for (size_t at = 0; at < output->len; at += LINE_BYTES) {
		size_t part = output->len - at < LINE_BYTES ? output->len - at : LINE_BYTES;

		len += (size_t)EVP_EncodeBlock(
		    (unsigned char *)text + len, output->bytes + at, (int)part);
		text[len++] = '\r';
		text[len++] = '\n';
	}
	output->len = 0;
	if (output->r == 0 && len > 0)
		output->r = pn_render_body(output->call, pn_slice(text, len));
}

static int
output_write(BIO *bio, const char *data, size_t len, size_t *ret_written)
{
	struct output *output = BIO_get_data(bio);

	for (size_t at = 0; at < len && output->r == 0;) {
		size_t part = PIECE - output->len;

		if (part > len - at)
			part = len - at;
		memcpy(output->bytes + output->len, data + at, part);
		output->len += part;
		at += part;
		if (output->len == PIECE)
			flush(output);
	}
	*ret_written = len;
	return output->r == 0;
}

static long
output_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO *
new_output(BIO_METHOD *method, struct output *output)
{
	BIO *bio = method ? BIO_new(method) : NULL;

	if (bio) {
		BIO_set_data(bio, output);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* ---- encrypting ------------------------------------------------------------------------------ */

static int
sink(void *arg, struct pn_slice bytes)
{
	return BIO_write_ex(arg, bytes.data, bytes.len, &(size_t){ 0 }) == 1 ? 0 : -EIO;
}

/* The structure around what goes through it is written as it goes (BER, of no definite length). */
static int
encrypt_through(
    CMS_ContentInfo *cms, BIO *out, struct output *output, const struct pn_txn *txn, bool hide)
{
	BIO *in = BIO_new_CMS(out, cms);
	int r = in ? pki_inner_write(txn, hide, sink, in) : -ENOMEM;

	if (r == 0 && BIO_flush(in) != 1)
		r = -EIO;
	while (in && in != out) {
		BIO *next = BIO_pop(in);

		BIO_free(in);
		in = next;
	}
	if (r == 0)
		flush(output);
	return output->r < 0 ? output->r : r;
}

static int
encrypt(struct pn_call *call, CMS_ContentInfo *cms, const struct pn_txn *txn, bool hide)
{
	struct output *output = g_new0(struct output, 1);
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "rendering");
	BIO *out;
	int r = -ENOMEM;

	output->call = call;
	if (method) {
		BIO_meth_set_write_ex(method, output_write);
		BIO_meth_set_ctrl(method, output_control);
	}
	out = new_output(method, output);
	if (out)
		r = encrypt_through(cms, out, output, txn, hide);
	BIO_free(out);
	BIO_meth_free(method);
	g_free(output);
	return r;
}

static int
render_header(struct pn_call *call, const struct pn_txn *txn, bool gcm, bool hide)
{
	int r = pki_outer_render(call, txn, hide);

	if (r == 0)
		r = pn_render_header(call, "Content-Type",
		    gcm ? "application/pkcs7-mime; smime-type=authEnveloped-data;\r\n "
			  "name=\"smime.p7m\""
			: "application/pkcs7-mime; smime-type=enveloped-data;\r\n "
			  "name=\"smime.p7m\"");
	if (r == 0)
		r = pn_render_header(call, "Content-Transfer-Encoding", "base64");
	if (r == 0)
		r = pn_render_header(
		    call, "Content-Disposition", "attachment; filename=\"smime.p7m\"");
	return r;
}

/* ---- the provider ---------------------------------------------------------------------------- */

static CMS_ContentInfo *
new_cms(bool gcm)
{
	return CMS_encrypt(NULL, NULL, gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc(),
	    CMS_BINARY | CMS_STREAM | CMS_PARTIAL);
}

/*
 * Whoever OpenSSL does not take is refused, and the CMS begun again without him: what was added
 * stays in it.
 */
static int
make_cms(struct pn_call *call, GArray *members, bool gcm, CMS_ContentInfo **ret)
{
	size_t bad = 0;

	while (members->len > 0) {
		*ret = new_cms(gcm);
		if (!*ret)
			return -ENOMEM;
		if (add_recipients(*ret, members, &bad))
			return 0;
		CMS_ContentInfo_free(*ret);
		*ret = NULL;
		pn_group_refuse(call, bad, "the certificate cannot be encrypted to: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
		for (guint i = 0; i < members->len; i++)
			if (g_array_index(members, struct member, i).index == bad) {
				g_array_remove_index(members, i);
				break;
			}
	}
	return 0;
}

static int
render_for(struct pn_call *call, struct pn_txn *txn, GArray *members, bool gcm)
{
	const struct pki *cfg = pn_settings(call);
	CMS_ContentInfo *cms = NULL;
	int r = gather(call, txn, members);

	if (r == 0)
		r = make_cms(call, members, gcm, &cms);
	if (r == 0 && cms)
		r = render_header(call, txn, gcm, cfg->hide_subject);
	if (r == 0 && cms)
		r = encrypt(call, cms, txn, cfg->hide_subject);
	CMS_ContentInfo_free(cms);
	return r;
}

static struct pn_verdict
render(struct pn_call *call, struct pn_txn *txn, bool gcm)
{
	GArray *members = g_array_new(FALSE, TRUE, sizeof(struct member));
	unsigned long error;
	int r;

	g_array_set_clear_func(members, clear_member);
	r = render_for(call, txn, members, gcm);
	g_array_free(members, TRUE);
	error = ERR_peek_last_error();
	ERR_clear_error();
	return r < 0 ? pn_fault(call, r, "cannot encrypt%s%s", error ? ": " : "",
			   error ? ERR_reason_error_string(error) : "")
		     : pn_pass();
}

struct pn_verdict
pki_smime_render(struct pn_call *call, struct pn_txn *txn)
{
	return render(call, txn, false);
}

struct pn_verdict
pki_smime_gcm_render(struct pn_call *call, struct pn_txn *txn)
{
	return render(call, txn, true);
}
