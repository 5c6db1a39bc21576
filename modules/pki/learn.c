/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn.c - what signed mail says of its author's certificate.
 *
 * Called by the message hook, and by the committed hook for what that staged. Must never learn from
 * a signature that does not hold over this very content, or for another address than the one that
 * has signed; nor touch what somebody has imported.
 */
#include "learn.h"
#include "sign.h"
#include "signature.h"
#include <errno.h>
#include <time.h>

#define EFFECT "learnt"
#define SOURCE "learnt"

/* ---- looking --------------------------------------------------------------------------------- */

static bool
is_signature(const struct pn_part *part)
{
	return pn_part_is(part, "application/pkcs7-signature") ||
	       pn_part_is(part, "application/x-pkcs7-signature");
}

/* RFC 1847 section 2.1: two parts, and what is signed is the first one as it stands. */
static int
verify_multipart(struct pn_call *call, const struct pn_part *root, struct signature *ret)
{
	const struct pn_part *content = pn_part_first_child(root);
	const struct pn_part *second = content ? pn_part_sibling(content) : NULL;
	struct pn_slice head, body, der;

	if (!second || pn_part_sibling(second) || !is_signature(second) ||
	    pn_part_bytes(call, second, SIGNATURE_MOST, &der) < 0)
		return -EBADMSG;
	head = pn_part_header(content);
	body = pn_part_body(content);
	return signature_verify(
	    der, pn_slice(head.data, (size_t)(body.data + body.len - head.data)), ret);
}

static int
verify(struct pn_call *call, struct signature *ret)
{
	const struct pn_part *root;
	struct pn_slice der;

	if (pn_parts(call, &root, NULL) < 0)
		return -EBADMSG;
	if (pn_part_is(root, "multipart/signed"))
		return verify_multipart(call, root, ret);
	if (!pn_part_is(root, "application/pkcs7-mime") &&
	    !pn_part_is(root, "application/x-pkcs7-mime"))
		return -EBADMSG;
	return pn_part_bytes(call, root, SIGNATURE_MOST, &der) < 0
		   ? -EBADMSG
		   : signature_verify(der, pn_slice(NULL, 0), ret);
}

static bool
is_good(struct pn_call *call, const struct signature *signature, const char *from,
    struct certificate_judgement *ret)
{
	const struct pki_prepared *prepared = pn_derived(call);
	struct certificate_terms terms = {
		.address = from,
		.any_case = pn_user_known(call, from),
		.use = CERTIFICATE_TO_SIGN,
		.now = time(NULL),
		.trust = prepared->trust,
	};

	if (!certificate_judge_x509(signature->signer, signature->chain, &terms, ret))
		return false;
	terms.use = CERTIFICATE_TO_ENCRYPT;
	return certificate_judge_x509(signature->signer, signature->chain, &terms, ret);
}

static void
append_size(GByteArray *to, size_t size)
{
	guint8 bytes[] = { (guint8)(size >> 8), (guint8)size };

	g_byte_array_append(to, bytes, sizeof(bytes));
}

/* Address and capabilities, each behind its size; then the certificates. */
static int
stage(struct pn_call *call, const char *from, const struct signature *signature)
{
	GByteArray *chain = pki_material(signature->signer, signature->chain, LEARN_CHAIN_MOST);
	GByteArray *effect = g_byte_array_new();
	int r = 0;

	append_size(effect, strlen(from));
	g_byte_array_append(effect, (const guint8 *)from, (guint)strlen(from));
	append_size(effect, signature->declared.len);
	if (signature->declared.len > 0)
		g_byte_array_append(effect, (const guint8 *)signature->declared.data,
		    (guint)signature->declared.len);
	g_byte_array_append(effect, chain->data, chain->len);
	if (chain->len > 0)
		r = pn_effect_stage(call, EFFECT, pn_slice(effect->data, effect->len));
	g_byte_array_free(chain, TRUE);
	g_byte_array_free(effect, TRUE);
	return r;
}

void
learn_look(struct pn_call *call, struct pn_txn *txn)
{
	const struct pki *cfg = pn_settings(call);
	const char *from = sign_author(call, txn);
	struct certificate_judgement judgement = { 0 };
	struct signature signature;

	if (!from || (cfg->learn == PKI_LEARN_OWNERS && sign_objection(call, txn, from)) ||
	    verify(call, &signature) < 0)
		return;
	if (!is_good(call, &signature, from, &judgement))
		pn_log(call, PN_LOG_INFO, "nothing is learnt for %s: %s", from, judgement.reason);
	else if (stage(call, from, &signature) < 0)
		pn_log(call, PN_LOG_INFO, "nothing is learnt for %s: no room", from);
	signature_clear(&signature);
}

/* ---- keeping --------------------------------------------------------------------------------- */

struct learning {
	struct pki_owner owner;
	struct pki_key key;
	struct certificate_judgement judgement;
	bool imported, same;
	unsigned learnt;
	char oldest[CERTIFICATE_PRINT_SIZE];
	int64_t oldest_added;
};

static bool
take_sized(struct pn_slice *from, struct pn_slice *ret)
{
	size_t len;

	if (from->len < 2)
		return false;
	len = (size_t)(unsigned char)from->data[0] << 8 | (unsigned char)from->data[1];
	if (from->len - 2 < len)
		return false;
	*ret = pn_slice(from->data + 2, len);
	*from = pn_slice(from->data + 2 + len, from->len - 2 - len);
	return true;
}

static int
look_at(void *arg, const struct pki_key *key)
{
	struct learning *learning = arg;

	if (strcmp(key->source, SOURCE) != 0) {
		learning->imported = true;
		return 0;
	}
	if (strcmp(key->fingerprint, learning->key.fingerprint) == 0) {
		learning->same = learning->key.declared.len == 0 ||
				 pn_slice_equals(key->declared, learning->key.declared);
		return 0;
	}
	learning->learnt++;
	if (!*learning->oldest || key->added < learning->oldest_added) {
		g_strlcpy(learning->oldest, key->fingerprint, sizeof(learning->oldest));
		learning->oldest_added = key->added;
	}
	return 0;
}

static int
count(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

/* Room for one more: 1, or 0 where there are too many in all. */
static int
make_room(struct pn_call *call, struct learning *learning, struct pn_error *err)
{
	const struct pki *cfg = pn_settings(call);
	int64_t all = 0;
	int r;

	if (learning->learnt >= LEARN_PER_ADDRESS) {
		r = pki_key_remove(call, &learning->owner, learning->oldest, err);
		return r < 0 && r != -ENOENT ? r : 1;
	}
	r = pn_db_query(call, err, "SELECT COUNT(*) FROM pki_keys WHERE source = ?1",
	    PN_VALUES(PN_TEXT(SOURCE)), count, &all);
	return r < 0 ? r : all < cfg->learn_most;
}

static int
keep(struct pn_call *call, struct learning *learning, struct pn_error *err)
{
	int r = pki_keys_each(call, learning->owner.address, PKI_SMIME, look_at, learning, err);

	if (r < 0 || learning->imported || learning->same)
		return r;
	r = make_room(call, learning, err);
	if (r == 0)
		pn_log(call, PN_LOG_WARNING,
		    "nothing is learnt for %s: learn_most certificates are kept already",
		    learning->owner.address);
	if (r <= 0)
		return r;
	r = pki_key_put(call, &learning->owner, &learning->key, err);
	if (r == 0)
		pn_log(call, PN_LOG_NOTICE, "learnt a certificate of %s: %.16s",
		    learning->owner.address, learning->key.fingerprint);
	return r;
}

static int
keep_effect(struct pn_call *call, struct pn_slice effect, struct pn_error *err)
{
	struct learning learning = { .key = { .kind = PKI_SMIME, .source = SOURCE } };
	struct certificate_terms terms = { .now = time(NULL) };
	struct pn_slice address;
	char *text;
	int r;

	if (!take_sized(&effect, &address) || !take_sized(&effect, &learning.key.declared))
		return pn_error_set(err, -EBADMSG, "what was staged cannot be read");
	learning.key.material = effect;
	/* It may have ended since: then it is of no use. */
	if (!certificate_judge(effect, &terms, &learning.judgement))
		return 0;
	learning.key.fingerprint = learning.judgement.fingerprint;
	learning.key.not_before = learning.judgement.not_before;
	learning.key.not_after = learning.judgement.not_after;
	text = g_strndup(address.data, address.len);
	r = pki_owner_find(call, text, &learning.owner, err);
	g_free(text);
	return r < 0 ? r : keep(call, &learning, err);
}

struct pn_verdict
learn_keep(struct pn_call *call)
{
	struct pn_slice effect;
	struct pn_error err = { 0 };
	int r = pn_effect(call, EFFECT, &effect) ? keep_effect(call, effect, &err) : 0;

	return r < 0 ? pn_fault(call, r, "cannot keep a certificate: %s", err.text) : pn_pass();
}
