/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki_smime.c - unit tests of modules/pki as it encrypts by S/MIME: who is served, with which key,
 * and that what leaves opens with the keys of its recipients and says nothing else (RFC 8551, RFC
 * 9788; S1-06, S1-07, S4-02, C11 to C14, C53).
 */
#include "pki_certs.h"
#include "policy_world.h"
#include "run.h"
#include <core/policy/plans.h>
#include <errno.h>
#include <glib.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CANARY  "yellow bird"
#define SUBJECT "a subject of its own"
#define MESSAGE \
	"From: one@example.org\r\nTo: two@f.example, three@f.example\r\nCc: four@f.example\r\n" \
	"Bcc: five@f.example\r\nSubject: " SUBJECT "\r\nThread-Topic: " SUBJECT \
	"\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n" \
	"Content-Type: text/plain; charset=utf-8\r\n\r\nThe " CANARY " is out.\r\n"

static struct world world;
static struct item *item;
static struct ruling refused;
static bool fixed_up = true; /* as mail that is submitted is */

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	item_free(&item);
	world_close(&world);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static const unsigned char declares_gcm[] = { 0x30, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48,
	0x01, 0x65, 0x03, 0x04, 0x01, 0x2e };
static const unsigned char declares_oaep[] = { 0x30, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48,
	0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07 };

static void
store(const char *address, const struct pki_cert *cert, const char *state, struct pn_slice declared)
{
	struct pn_slice der = pki_cert_der(cert);
	struct pn_error err = { 0 };
	char print[65], *sum = g_compute_checksum_for_data(
			    G_CHECKSUM_SHA256, (const guchar *)der.data, der.len);
	int r;

	g_strlcpy(print, sum, sizeof(print));
	g_free(sum);
	r = db_run(world.db, &err,
	    "INSERT INTO pki_keys (address, kind, fingerprint, material, declared, not_before, "
	    "not_after, source, state, added) VALUES (?1, 'smime', ?2, ?3, ?4, 0, 0, 'import', ?5, "
	    "?6)",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(print), PN_BLOB(der.data, der.len),
		declared.len ? PN_BLOB(declared.data, declared.len) : PN_NULL, PN_TEXT(state),
		PN_INT(time(NULL))));
	ck_assert_msg(r == 0, "%s", err.text);
	g_free((char *)(uintptr_t)der.data);
}

static struct pki_cert
person(const char *address, unsigned rsa, struct pn_slice declared)
{
	char *names = g_strdup_printf("email:%s", address);
	struct pki_cert cert = pki_cert_make(
	    &(struct pki_wanted){ .names = names, .rsa = rsa }, NULL);

	store(address, &cert, "active", declared);
	g_free(names);
	return cert;
}

static struct pki_cert
somebody(const char *address)
{
	return person(address, 0, pn_slice("", 0));
}

/* ---- mail ------------------------------------------------------------------------------------ */

static void
begin(const char *pki)
{
	char *sections = g_strdup_printf("wanting: { want: sender }\npki: { %s }\n"
					 "directory: { users: { off@f.example: { enabled: no }, "
					 "Two@F.example: {} } }\n",
	    pki);

	world_run(&world, "  - selector: { id: wanting }\n  - pki\n", sections);
	g_free(sections);
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_SENDER), RULING_PASS);
}

static enum plans_step
data(const char *recipients, const char *message)
{
	const struct mail_fixups how = {
		.relay_name = "relay.example.org", .id = world.txn->id, .submission = fixed_up
	};
	char **names = g_strsplit(recipients, " ", -1);
	enum plans_step step;

	for (char **name = names; *name; name++)
		mail_envelope_add(&world.txn->envelope, &world.txn->arena, *name);
	g_strfreev(names);
	world_message(&world, message);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_int_eq(plans_begin(world.txn, &how), 0);
	step = plans_run(world.txn, &refused);
	item_free(&item);
	if (step == PLANS_DONE) {
		item = txn_to_item(world.txn);
		ck_assert_ptr_nonnull(item);
	}
	return step;
}

static const char *
rendering(size_t recipient)
{
	struct mail_rendering part = item_rendering(item, (uint32_t)recipient);

	return arena_slice(&item->arena, pn_slice(item->bytes->data + part.offset, part.len));
}

static bool
item_has(const char *text)
{
	return memmem(item->bytes->data, item->bytes->len, text, strlen(text)) != NULL;
}

static CMS_ContentInfo *
cms_of(size_t recipient)
{
	const char *body = strstr(rendering(recipient), "\r\n\r\n");
	CMS_ContentInfo *cms;
	guchar *der;
	gsize len;
	BIO *bio;

	ck_assert_ptr_nonnull(body);
	der = g_base64_decode(body + 4, &len);
	bio = BIO_new_mem_buf(der, (int)len);
	cms = d2i_CMS_bio(bio, NULL);
	BIO_free(bio);
	g_free(der);
	ck_assert_ptr_nonnull(cms);
	return cms;
}

/* What this key reads; NULL: nothing. g_free. */
static char *
opened(size_t recipient, const struct pki_cert *cert)
{
	CMS_ContentInfo *cms = cms_of(recipient);
	BIO *out = BIO_new(BIO_s_mem());
	char *bytes, *ret = NULL;
	long len;

	if (CMS_decrypt(cms, cert->key, cert->certificate, NULL, out, CMS_BINARY) == 1) {
		len = BIO_get_mem_data(out, &bytes);
		ret = g_strndup(bytes, (gsize)len);
	}
	ERR_clear_error();
	BIO_free(out);
	CMS_ContentInfo_free(cms);
	return ret;
}

static void
opens(size_t recipient, const struct pki_cert *cert, const char *words)
{
	char *text = opened(recipient, cert);

	ck_assert_ptr_nonnull(text);
	ck_assert_msg(strstr(text, words) != NULL, "%s", text);
	g_free(text);
}

static void
stays_closed(size_t recipient, const struct pki_cert *cert)
{
	char *text = opened(recipient, cert);

	ck_assert(!text || !strstr(text, CANARY));
	g_free(text);
}

/* ---- one CMS for a group --------------------------------------------------------------------- */

static const char inner[] =
    "From: one@example.org\r\nTo: two@f.example, three@f.example\r\nCc: four@f.example\r\n"
    "Subject: " SUBJECT "\r\nThread-Topic: " SUBJECT "\r\nMessage-ID: <1@example.org>\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8;\r\n hp=\"cipher\"\r\n";

START_TEST(a_group_and_bcc)
{
	struct pki_cert two, three, four, five;

	begin("");
	two = somebody("two@f.example");
	three = person("three@f.example", 2048, pn_slice("", 0));
	four = person("four@f.example", 2048, pn_slice(declares_oaep, sizeof(declares_oaep)));
	five = somebody("five@f.example");
	ck_assert_int_eq(
	    data("two@f.example three@f.example four@f.example five@f.example", MESSAGE),
	    PLANS_DONE);
	/* {two}, {three, four}: by kind of key, since NSS reads nothing with EC in it; {five} */
	ck_assert_uint_eq(item->rendering_count, 3);
	ck_assert(!item_has(CANARY) && !item_has(SUBJECT));
	for (size_t i = 0; i < 4; i++)
		ck_assert_str_eq(item->recipients[i].plan.method, "smime");
	opens(0, &two, inner);
	opens(1, &three, "The " CANARY " is out.\r\n");
	opens(2, &four, "HP-Outer: Subject: [...]\r\nHP-Outer: Message-ID: <1@example.org>\r\n");
	ck_assert_uint_eq(item->recipients[1].plan.rendering, item->recipients[2].plan.rendering);
	stays_closed(0, &three);
	stays_closed(0, &five);
	opens(3, &five, inner);
	stays_closed(3, &two);
	ck_assert_ptr_nonnull(strstr(rendering(0), "\r\nSubject: [...]\r\n"));
	ck_assert_ptr_nonnull(strstr(rendering(0),
	    "Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n "
	    "name=\"smime.p7m\"\r\nContent-Transfer-Encoding: base64\r\n"));
	ck_assert_ptr_null(strstr(rendering(0), "Thread-Topic"));
	ck_assert_ptr_null(strstr(rendering(3), "five@"));
	pki_cert_free(&two);
	pki_cert_free(&three);
	pki_cert_free(&four);
	pki_cert_free(&five);
}
END_TEST

/* RFC 5083, RFC 5753: who has declared GCM gets it, and nobody else; keys are agreed on by SHA-256.
 */
START_TEST(ciphers)
{
	struct pki_cert two, three, four;
	CMS_ContentInfo *cms;

	begin("");
	two = somebody("two@f.example");
	three = person("three@f.example", 0, pn_slice(declares_gcm, sizeof(declares_gcm)));
	four = person("four@f.example", 2048, pn_slice(declares_gcm, sizeof(declares_gcm)));
	ck_assert_int_eq(data("two@f.example three@f.example four@f.example", MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(item->rendering_count, 2);
	ck_assert_str_eq(item->recipients[0].plan.method, "smime");
	ck_assert_str_eq(item->recipients[1].plan.method, "smime-gcm");
	ck_assert_ptr_nonnull(strstr(rendering(1), "smime-type=authEnveloped-data"));
	cms = cms_of(1);
	ck_assert_int_eq(OBJ_obj2nid(CMS_get0_type(cms)), NID_id_smime_ct_authEnvelopedData);
	CMS_ContentInfo_free(cms);
	opens(1, &three, inner);
	opens(2, &four, inner);
	stays_closed(1, &two);
	opens(0, &two, inner);
	begin("smime_cipher: cbc, hide_subject: no");
	ck_assert_int_eq(data("two@f.example three@f.example four@f.example", MESSAGE), PLANS_DONE);
	ck_assert_uint_eq(item->rendering_count, 2);
	ck_assert_str_eq(item->recipients[2].plan.method, "smime");
	opens(0, &three, "HP-Outer: Subject: " SUBJECT "\r\n");
	ck_assert_ptr_nonnull(strstr(rendering(0), "Subject: " SUBJECT "\r\n"));
	begin("smime_cipher: gcm");
	ck_assert_int_eq(data("two@f.example", MESSAGE), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.method, "smime-gcm");
	pki_cert_free(&two);
	pki_cert_free(&three);
	pki_cert_free(&four);
}
END_TEST

static enum ruling_kind
select_for(const char *address)
{
	struct chain_run run = { 0 };

	mail_envelope_add(&world.txn->envelope, &world.txn->arena, address);
	world_message(&world, MESSAGE);
	world.txn->recipient = 0;
	ck_assert_int_eq(
	    chain_run(&run, world.txn, PN_STAGE_SELECT, true, &world.ruling), CHAIN_DONE);
	world.txn->recipient = -1;
	return world.ruling.kind;
}

/* ---- who is not served ----------------------------------------------------------------------- */

static void
unserved(const char *address, const char *words)
{
	ck_assert_int_eq(data(address, MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.code, 550);
	for (size_t i = 0; i < world.txn->trace_count; i++) {
		const struct trace_line *line = &world.txn->trace[i];

		if (line->stage == PN_STAGE_SELECT && line->reason && strstr(line->reason, words))
			return;
	}
	ck_abort_msg("%s: not said: %s", address, words);
}

/* S1-06, C12, C53: never without a reason. */
START_TEST(reasons)
{
	struct pki_cert cert;

	begin("");
	unserved("two@f.example", "there is no key of two@f.example");
	begin("");
	cert = somebody("off@f.example");
	unserved("off@f.example", "the user off@f.example is switched off");
	pki_cert_free(&cert);
	begin("");
	cert = pki_cert_make(
	    &(struct pki_wanted){ .names = "email:x@f.example", .first_day = -9, .last_day = -2 },
	    NULL);
	store("x@f.example", &cert, "active", pn_slice("", 0));
	unserved("x@f.example", "no key can be used: certificate ");
	begin("");
	unserved("x@f.example", " expired on 20");
	pki_cert_free(&cert);
	begin("");
	cert = pki_cert_make(&(struct pki_wanted){ .names = "email:y@f.example" }, NULL);
	store("y@f.example", &cert, "revoked", pn_slice("", 0));
	unserved("y@f.example", " is revoked");
	/* RFC 8550: capitals count, but not for users here */
	begin("");
	store("z@f.example", &cert, "active", pn_slice("", 0));
	unserved("z@f.example", "is for y@f.example, not for z@f.example");
	pki_cert_free(&cert);
	begin("");
	cert = pki_cert_make(&(struct pki_wanted){ .names = "email:TWO@f.example" }, NULL);
	store("two@f.example", &cert, "active", pn_slice("", 0));
	ck_assert_int_eq(data("two@F.Example", MESSAGE), PLANS_DONE);
	opens(0, &cert, CANARY);
	pki_cert_free(&cert);
}
END_TEST

/* S1-07: the recipient's preference decides, else the setting. */
START_TEST(preferences)
{
	struct pki_cert two;
	struct pn_error err = { 0 };

	begin("prefer: pgp");
	two = somebody("two@f.example");
	ck_assert_int_eq(select_for("two@f.example"), RULING_CHOSEN);
	ck_assert_str_eq(world.ruling.chosen.method, "smime");
	begin("prefer: pgp");
	ck_assert_int_eq(db_run(world.db, &err,
			     "INSERT INTO pki_keys (address, kind, fingerprint, material, "
			     "not_before, not_after, "
			     "source, state, added) VALUES ('two@f.example', 'pgp', 'AB', 'key', "
			     "0, 0, 'import', "
			     "'active', 1)",
			     PN_NO_VALUES),
	    0);
	ck_assert_int_eq(select_for("two@f.example"), RULING_CHOSEN);
	ck_assert_str_eq(world.ruling.chosen.method, "pgp");
	begin("prefer: smime");
	ck_assert_int_eq(select_for("two@f.example"), RULING_CHOSEN);
	ck_assert_str_eq(world.ruling.chosen.method, "smime");
	ck_assert_int_eq(db_run(world.db, &err,
			     "INSERT INTO pki_preferences (address, kind) VALUES "
			     "('two@f.example', 'pgp')",
			     PN_NO_VALUES),
	    0);
	begin("prefer: smime");
	ck_assert_int_eq(select_for("two@f.example"), RULING_CHOSEN);
	ck_assert_str_eq(world.ruling.chosen.method, "pgp");
	ck_assert_int_eq(db_run(world.db, &err,
			     "UPDATE pki_keys SET not_after = 1 WHERE kind = 'pgp'", PN_NO_VALUES),
	    0);
	begin("prefer: smime");
	ck_assert_int_eq(select_for("two@f.example"), RULING_CHOSEN);
	ck_assert_str_eq(world.ruling.chosen.method, "smime");
	pki_cert_free(&two);
}
END_TEST

/* What cannot be asked is not "no key". */
START_TEST(a_database_that_is_away)
{
	struct pn_error err = { 0 };

	begin("");
	ck_assert_int_eq(db_run(world.db, &err, "DROP TABLE pki_keys", PN_NO_VALUES), 0);
	ck_assert_int_eq(data("two@f.example", MESSAGE), PLANS_REFUSED);
	ck_assert_int_eq(refused.kind, RULING_DEFER);
	ck_assert_int_eq(refused.code / 100, 4);
}
END_TEST

/* Another module chose what is no certificate: that one is unserved, the others get theirs. */
START_TEST(a_member_is_refused)
{
	struct pki_cert two;

	world_run(&world, "  - selector: { id: wanting }\n  - pki\n",
	    "wanting: { want: sender, rules: [\"three@f.example=smime\"] }\n");
	world_begin(&world);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_SENDER), RULING_PASS);
	two = somebody("two@f.example");
	ck_assert_int_eq(data("two@f.example three@f.example", MESSAGE), PLANS_DONE);
	opens(0, &two, CANARY);
	ck_assert_ptr_nonnull(item->recipients[1].plan.unserved);
	ck_assert_ptr_nonnull(
	    strstr(item->recipients[1].plan.passed, "the certificate cannot be read"));
	pki_cert_free(&two);
}
END_TEST

/* ---- mail that is encrypted already (C13) ---------------------------------------------------- */

/* A session key packet of one byte, then encrypted data of two. */
static const unsigned char packets[] = { 0xc1, 1, 3, 0xd2, 2, 1, 7 };

static enum plans_step
send_inline(const unsigned char *bytes, size_t len, const char *field, const char *behind)
{
	gchar *coded = g_base64_encode(bytes, len);
	gchar *message = g_strdup_printf(
	    "From: one@example.org\r\nTo: two@f.example\r\n"
	    "Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n%s\r\n%s\r\n"
	    "-----END PGP MESSAGE-----\r\n%s",
	    field, coded, behind);
	enum plans_step step;

	begin("");
	step = data("two@f.example", message);
	g_free(message);
	g_free(coded);
	return step;
}

START_TEST(encrypted_before)
{
	static const unsigned char literal[] = { 0xc1, 1, 3, 0xd2, 2, 1, 7, 0xcb, 2, 'h', 'i' };
	struct pki_cert two;
	char *again;

	ck_assert_int_eq(send_inline(packets, sizeof(packets), "", ""), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.method, "none");
	ck_assert_int_eq(
	    send_inline(packets, sizeof(packets), "", "And in clear.\r\n"), PLANS_REFUSED);
	ck_assert_int_eq(send_inline(literal, sizeof(literal), "", ""), PLANS_REFUSED);
	ck_assert_int_eq(send_inline(packets, sizeof(packets) - 1, "", ""), PLANS_REFUSED);
	ck_assert_int_eq(
	    send_inline((const unsigned char *)"\xd2\x02\x01\x07", 4, "", ""), PLANS_REFUSED);
	ck_assert_int_eq(
	    send_inline(packets, sizeof(packets), "Comment: all in clear\r\n", ""), PLANS_REFUSED);
	begin("");
	two = somebody("two@f.example");
	ck_assert_int_eq(data("two@f.example", MESSAGE), PLANS_DONE);
	again = g_strdup(rendering(0));
	begin("");
	ck_assert_int_eq(data("unknown@f.example", again), PLANS_DONE);
	ck_assert_str_eq(item->recipients[0].plan.method, "none");
	begin("encrypted: wrap");
	ck_assert_int_eq(data("two@f.example", again), PLANS_DONE);
	opens(0, &two, "smime-type=enveloped-data");
	g_free(again);
	pki_cert_free(&two);
}
END_TEST

static enum plans_step
send_mime(const char *before, const char *first, const char *behind)
{
	gchar *coded = g_base64_encode(packets, sizeof(packets));
	gchar *message = g_strdup_printf(
	    "From: one@example.org\r\nTo: two@f.example\r\nContent-Type: multipart/encrypted; "
	    "protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n%s--b\r\nContent-Type: "
	    "application/pgp-encrypted\r\n\r\n%s\r\n--b\r\nContent-Type: "
	    "application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\n%s\r\n"
	    "-----END PGP MESSAGE-----\r\n\r\n--b--\r\n%s",
	    before, first, coded, behind);
	enum plans_step step;

	begin("");
	step = data("two@f.example", message);
	g_free(message);
	g_free(coded);
	return step;
}

START_TEST(pgp_mime)
{
	static const char usual[] = "This is an OpenPGP/MIME encrypted message (RFC 4880)\r\n";

	ck_assert_int_eq(send_mime("", "Version: 1", ""), PLANS_DONE);
	ck_assert_int_eq(send_mime(usual, "Version: 1", "\r\n"), PLANS_DONE);
	ck_assert_int_eq(send_mime("In clear.\r\n", "Version: 1", ""), PLANS_REFUSED);
	ck_assert_int_eq(send_mime("", "Version: 1", "In clear.\r\n"), PLANS_REFUSED);
	ck_assert_int_eq(send_mime("", "Version: 1\r\nIn clear.", ""), PLANS_REFUSED);
	ck_assert_int_eq(send_mime("", "Version: 1\r\n--b\r\n\r\nIn clear.", ""), PLANS_REFUSED);
}
END_TEST

/* C14: structure moves inside; what is not named twice stays once. */
START_TEST(structure)
{
	struct pki_cert two;

	begin("");
	two = somebody("two@f.example");
	ck_assert_int_eq(
	    data("two@f.example",
		"From: one@example.org\r\nContent-Type: multipart/mixed; boundary=x ;\r\n"
		"Content-Language: en\r\nKeywords: bird\r\n\r\n--x\r\n\r\n" CANARY "\r\n--x--\r\n"),
	    PLANS_DONE);
	opens(0, &two,
	    "Content-Type: multipart/mixed; boundary=x;\r\n hp=\"cipher\"\r\n"
	    "Content-Language: en\r\nKeywords: bird\r\n");
	opens(0, &two, "\r\n\r\n--x\r\n\r\n" CANARY "\r\n--x--\r\n");
	ck_assert_ptr_null(strstr(rendering(0), "multipart"));
	ck_assert_ptr_null(strstr(rendering(0), "Keywords"));
	begin("");
	ck_assert_int_eq(
	    data("two@f.example", "From: one@example.org\r\n\r\n" CANARY "\r\n"), PLANS_DONE);
	opens(0, &two, "Content-Type: text/plain; charset=us-ascii; hp=\"cipher\"\r\n");
	pki_cert_free(&two);
}
END_TEST

static void
send_without_fixups(const char *message)
{
	begin("");
	fixed_up = false;
	ck_assert_int_eq(data("two@f.example", message), PLANS_DONE);
	fixed_up = true;
}

/* C14: text that looks like fields, behind a line that is none, is the letter's and stays inside.
 */
START_TEST(text_like_fields)
{
	struct pki_cert two;
	char *long_name, *message;

	begin("");
	two = somebody("two@f.example");
	send_without_fixups("Hi,\r\npassword: " CANARY "\r\nTo : you\r\n\r\nmore\r\n");
	ck_assert(!item_has(CANARY) && !item_has("you"));
	opens(0, &two,
	    "Content-Type: text/plain; charset=us-ascii; hp=\"cipher\"\r\n\r\nHi,\r\n"
	    "password: " CANARY "\r\nTo : you\r\n\r\nmore\r\n");
	send_without_fixups("From: one@example.org\r\nSubject: x\r\nHi,\r\npassword: " CANARY
			    "\r\nFrom: " CANARY "\r\nTo: two@f.example\r\nBcc: five@f.example\r\n"
			    "Content-Type: text/html\r\n\r\nmore\r\n");
	ck_assert(!item_has(CANARY) && !item_has("five@"));
	ck_assert_ptr_nonnull(strstr(rendering(0), "\r\nTo: two@f.example\r\n"));
	opens(0, &two,
	    "HP-Outer: From: one@example.org\r\nHP-Outer: Subject: [...]\r\nHP-Outer: To: "
	    "two@f.example\r\nHi,\r\npassword: " CANARY "\r\nFrom: " CANARY
	    "\r\nTo: two@f.example\r\nContent-Type: text/html;\r\n hp=\"cipher\"\r\n\r\nmore\r\n");
	send_without_fixups("From 1@a.example Mon\r\nFrom: one@example.org\r\nX-A: " CANARY
			    "\r\nDate: now\r\n \r\n\r\nmore\r\n");
	ck_assert(!item_has(CANARY));
	ck_assert_ptr_nonnull(strstr(rendering(0), "\r\nDate: now\r\n"));
	long_name = g_strnfill(5000, 'n');
	message = g_strconcat("From: one@example.org\r\n", long_name, ": x\r\n\r\nmore\r\n", NULL);
	send_without_fixups(message);
	opens(0, &two, long_name);
	g_free(message);
	g_free(long_name);
	pki_cert_free(&two);
}
END_TEST

/* ---- many ------------------------------------------------------------------------------------ */

#define MANY 1000

/* S2: a thousand in To share one CMS, in bounded time. */
START_TEST(a_thousand)
{
	GString *to = g_string_new("From: one@example.org\r\nTo: "), *names = g_string_new(NULL);
	struct pki_cert last = { NULL, NULL };
	gint64 began;

	begin("");
	for (int i = 0; i < MANY; i++) {
		char address[40];

		g_snprintf(address, sizeof(address), "person%d@f.example", i);
		pki_cert_free(&last);
		last = somebody(address);
		g_string_append_printf(to, "%s%s", i ? ",\r\n " : "", address);
		g_string_append_printf(names, "%s%s", i ? " " : "", address);
	}
	g_string_append(to, "\r\n\r\n" CANARY "\r\n");
	began = g_get_monotonic_time();
	ck_assert_int_eq(data(names->str, to->str), PLANS_DONE);
	began = g_get_monotonic_time() - began;
	printf("%d recipients, one CMS: %.2f s, %zu bytes\n", MANY, (double)began / 1e6,
	    item->bytes->len);
	ck_assert_uint_eq(item->rendering_count, 1);
	ck_assert_int_lt(began, G_USEC_PER_SEC * 60);
	opens(0, &last, CANARY);
	pki_cert_free(&last);
	g_string_free(to, TRUE);
	g_string_free(names, TRUE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pki_smime");
	TCase *tc = tcase_create("pki_smime");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_group_and_bcc);
	tcase_add_test(tc, ciphers);
	tcase_add_test(tc, reasons);
	tcase_add_test(tc, preferences);
	tcase_add_test(tc, a_database_that_is_away);
	tcase_add_test(tc, a_member_is_refused);
	tcase_add_test(tc, encrypted_before);
	tcase_add_test(tc, pgp_mime);
	tcase_add_test(tc, structure);
	tcase_add_test(tc, text_like_fields);
	tcase_add_test(tc, a_thousand);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
