/* SPDX-License-Identifier: Apache-2.0 */
/* vcard.c - tests of modules/address-book: cards as clients write them, and keys in all wrappings.
 */
#include "../../modules/address-book/vcard.h"
#include "pki_certs.h"
#include "run.h"
#include <errno.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static int
read_one(const char *text, struct vcard *card, struct pn_error *err)
{
	struct vcard_reader reader;

	vcard_open(&reader, pn_slice_of(text));
	return vcard_next(&reader, card, err);
}

static void
drop(struct pn_slice bytes)
{
	g_free((void *)(uintptr_t)bytes.data);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static const struct {
	const char *text, *name, *value;
} values[] = {
	{ "FN:Ada", "FN", "Ada" },
	{ "fn:Ada\r\n", "FN", "Ada" },
	{ "item1.EMAIL;type=INTERNET;type=pref:a@b.example", "EMAIL", "a@b.example" },
	{ "FN:Ada Lo\r\n velace", "FN", "Ada Lovelace" },
	{ "FN:Ada\n  L\n\tovelace\n", "FN", "Ada Lovelace" },
	{ "FN:a\\, b\\; c\\\\ d\\ne", "FN", "a, b; c\\ d e" },
	{ "FN;X-P=\"a:b;c\":Ada", "FN", "Ada" },
	{ "FN;ENCODING=QUOTED-PRINTABLE:J=C3=BCrgen =\nMeyer", "FN", "J\xc3\xbcrgen Meyer" },
	{ "FN;QUOTED-PRINTABLE;CHARSET=iso-8859-1:J=FCrgen", "FN", "J\xc3\xbcrgen" },
	{ "FN;CHARSET=ISO-2022-CN-EXT:J\xfcrgen", "FN", "J\xc3\xbcrgen" },
	{ "FN:J\xfcrgen", "FN", "J\xc3\xbcrgen" },
	{ "FN;ENCODING=b:QWRh", "FN", "Ada" },
	{ "FN;BASE64:\n QW\n Rh\n\n", "FN", "Ada" },
	{ "FN;ENCODING=BASE64:QW\nRh\n\nTEL:1", "FN", "Ada" },
	{ "FN:a\tb\x01"
	  "c",
	    "FN", "a b c" },
	{ "FN;QUOTED-PRINTABLE:a=", "FN", "a=" },
	{ "FN;QUOTED-PRINTABLE:=4", "FN", "=4" },
	{ "FN:", "FN", "" },
	{ "FN", "FN", "" },
	{ ":x", "", "x" },
	{ ";;:x", "", "x" },
	{ "\xef\xbb\xbf"
	  "FN:x",
	    "FN", "x" },
	{ "\n\r\n\nFN:x", "FN", "x" },
};

START_TEST(lines_are_unfolded_and_decoded)
{
	struct vcard_line line = { .text = g_string_new(NULL) };
	struct vcard_reader reader;
	char *text;

	vcard_open(&reader, pn_slice_of(values[_i].text));
	ck_assert(vcard_line_next(&reader, &line));
	ck_assert_str_eq(line.name, values[_i].name);
	text = vcard_line_text(&line, 1000);
	ck_assert_str_eq(text, values[_i].value);
	g_free(text);
	g_string_free(line.text, TRUE);
}
END_TEST

START_TEST(names_are_cut_between_characters)
{
	struct vcard_line line = { .text = g_string_new(NULL) };
	struct vcard_reader reader;
	char *text;

	vcard_open(&reader, pn_slice_of("FN:aa\xc3\xbc\xc3\xbc"));
	ck_assert(vcard_line_next(&reader, &line));
	text = vcard_line_text(&line, 5);
	ck_assert_str_eq(text, "aa\xc3\xbc");
	g_free(text);
	g_string_free(line.text, TRUE);
}
END_TEST

/* ---- cards ----------------------------------------------------------------------------------- */

START_TEST(long_lines_are_left_out)
{
	GString *text = g_string_new("BEGIN:VCARD\nVERSION:3.0\nKEY;ENCODING=b:");
	struct vcard card;

	for (unsigned i = 0; i < VCARD_LINE_MOST / 64 + 10; i++)
		g_string_append_printf(text, "%064d\n ", 0);
	g_string_append(text, "\nEMAIL:a@b.example\nEND:VCARD\n");
	ck_assert_int_eq(read_one(text->str, &card, NULL), 1);
	ck_assert_uint_eq(card.addresses->len, 1);
	ck_assert_uint_eq(card.problems->len, 1);
	ck_assert(strstr(card.problems->pdata[0], "line 3: a key of more than"));
	vcard_clear(&card);
	g_string_free(text, TRUE);
}
END_TEST

static const struct {
	const char *text, *error;
} broken[] = {
	{ "Dear Bo,\nhere is", "line 1: BEGIN:VCARD should stand here" },
	{ "\nBEGIN:VCALENDAR\nEND:VCALENDAR", "line 2: BEGIN:VCARD should stand here" },
	{ "BEGIN:VCARD\nFN:x\n", "line 2: this card has no END:VCARD" },
	{ "BEGIN:VCARD\nAGENT:\nBEGIN:VCARD\nEND:VCARD\n", "line 4: this card has no END:VCARD" },
};

START_TEST(what_is_no_card_is_said_with_its_line)
{
	struct pn_error err;
	struct vcard card;

	ck_assert_int_eq(read_one(broken[_i].text, &card, &err), -EINVAL);
	ck_assert_str_eq(err.text, broken[_i].error);
	vcard_clear(&card);
}
END_TEST

START_TEST(several_cards)
{
	static const char text[] = "BEGIN:vCard\r\nVERSION:3.0\r\nN:Doe;John;;;\r\n"
				   "EMAIL:a@b.example\r\nEMAIL:mailto:c@d.example\r\n"
				   "AGENT:\r\nBEGIN:VCARD\r\nEMAIL:agent@b.example\r\nEND:VCARD\r\n"
				   "END:vCard \r\n\r\nBEGIN:VCARD\nFN:Bo\nEND:VCARD";
	struct vcard_reader reader;
	struct vcard card;

	vcard_open(&reader, pn_slice_of(text));
	ck_assert_int_eq(vcard_next(&reader, &card, NULL), 1);
	ck_assert_str_eq(card.name, "John Doe");
	ck_assert_uint_eq(card.addresses->len, 2);
	ck_assert_str_eq(card.addresses->pdata[1], "c@d.example");
	vcard_clear(&card);
	ck_assert_int_eq(vcard_next(&reader, &card, NULL), 1);
	ck_assert_str_eq(card.name, "Bo");
	ck_assert_uint_eq(card.line, 12);
	vcard_clear(&card);
	ck_assert_int_eq(vcard_next(&reader, &card, NULL), 0);
	vcard_clear(&card);
}
END_TEST

START_TEST(a_card_has_so_many_addresses)
{
	GString *text = g_string_new("BEGIN:VCARD\n");
	struct vcard card;

	for (int i = 0; i < 1000; i++)
		g_string_append_printf(text, "EMAIL:a%d@b.example\nKEY:http://b.example\n", i);
	g_string_append(text, "END:VCARD\n");
	ck_assert_int_eq(read_one(text->str, &card, NULL), 1);
	ck_assert_uint_eq(card.addresses->len, VCARD_ADDRESSES_MOST);
	ck_assert_uint_eq(card.problems->len, VCARD_PROBLEMS_MOST);
	vcard_clear(&card);
	g_string_free(text, TRUE);
}
END_TEST

/* What real clients have written (tests/data/addressbook): name, number of addresses, and of keys
 * of the first card; cards. */
static const struct {
	const char *file, *name, *address;
	unsigned addresses, keys, cards;
} files[] = {
	{ "John_Doe_EVOLUTION.vcf", "Mr. John Richter, James Doe Sr.", "john.doe@ibm.com", 1, 0,
	    1 },
	{ "John_Doe_GMAIL.vcf", "Mr. John Richter, James Doe Sr.", "john.doe@ibm.com", 1, 0, 1 },
	{ "John_Doe_IPHONE.vcf", "Mr. John Richter James Doe Sr.", "john.doe@ibm.com", 1, 0, 1 },
	{ "John_Doe_MS_OUTLOOK.vcf", "Mr. John Richter James Doe Sr.", "john.doe@ibm.cm", 1, 0, 1 },
	{ "gmail-list.vcf", "Arnold Smith", "asmithk@gmail.com", 1, 0, 3 },
	{ "outlook-2003.vcf", "John Doe III", "jdoe@hotmail.com", 1, 1, 1 },
	{ "rfc2426-example.vcf", "Frank Dawson", "Frank_Dawson@Lotus.com", 2, 0, 2 },
};

START_TEST(cards_of_real_clients)
{
	const char *top = g_getenv("POSTERN_SRCDIR");
	char *path = g_build_filename(
	    top ? top : ".", "tests", "data", "addressbook", files[_i].file, NULL);
	struct vcard_reader reader;
	struct vcard card;
	unsigned cards = 0;
	gsize len;
	char *text;

	ck_assert(g_file_get_contents(path, &text, &len, NULL));
	vcard_open(&reader, pn_slice(text, len));
	while (vcard_next(&reader, &card, NULL) == 1) {
		ck_assert_msg(card.problems->len == 0, "%s", (char *)card.problems->pdata[0]);
		if (cards++ == 0) {
			ck_assert_str_eq(card.name, files[_i].name);
			ck_assert_uint_eq(card.addresses->len, files[_i].addresses);
			ck_assert_str_eq(card.addresses->pdata[0], files[_i].address);
			ck_assert_uint_eq(keydata_count(&card.keys), files[_i].keys);
		}
		vcard_clear(&card);
	}
	vcard_clear(&card);
	ck_assert_uint_eq(cards, files[_i].cards);
	g_free(text);
	g_free(path);
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------ */

/* A public key packet of no meaning, and the same in armor. */
static const char pgp[] = "\x99\x00\x08"
			  "ABCDEFGH";
static const char armor[] = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n"
			    "mQAIQUJDREVGR0g=\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";

static const struct {
	const char *head; /* %s: the key in base64 */
	bool is_pgp;
} keys[] = {
	{ "KEY;X509;ENCODING=BASE64:%s", false },
	{ "KEY;ENCODING=b;TYPE=PGP:%s", false }, /* what it is called does not count */
	{ "KEY:data:application/pkix-cert;base64,%s", false },
	{ "KEY:data:application/pkix-cert;base64\\,%s", false },
	{ "KEY;MEDIATYPE=application/pkix-cert:%s", false },
	{ "KEY;TYPE=PGP;ENCODING=b:%s", true },
	{ "KEY;VALUE=uri:data:application/pgp-keys;base64,%s", true },
	{ "KEY;TYPE=PGP:%s", true },
};

START_TEST(keys_of_cards)
{
	struct pki_wanted wanted = { .names = "email:a@b.example" };
	struct pki_cert cert = pki_cert_make(&wanted, NULL);
	struct pn_slice der = pki_cert_der(&cert);
	char *base64 = keys[_i].is_pgp ? g_base64_encode((const guchar *)pgp, sizeof(pgp) - 1)
				       : g_base64_encode((const guchar *)der.data, der.len);
	GString *text = g_string_new("BEGIN:VCARD\n");
	struct vcard card;

	g_string_append(text, keys[_i].head);
	g_string_replace(text, "%s", base64, 1);
	g_string_append(text, "\nEND:VCARD\n");
	ck_assert_int_eq(read_one(text->str, &card, NULL), 1);
	ck_assert_msg(card.problems->len == 0, "%s", (char *)g_ptr_array_index(card.problems, 0));
	ck_assert_uint_eq(keydata_count(&card.keys), 1);
	if (keys[_i].is_pgp)
		ck_assert_mem_eq(card.keys.pgp->data, pgp, sizeof(pgp) - 1);
	else
		ck_assert_mem_eq(card.keys.certificates->data, der.data, der.len);
	vcard_clear(&card);
	g_string_free(text, TRUE);
	g_free(base64);
	drop(der);
	pki_cert_free(&cert);
}
END_TEST

START_TEST(armor_in_a_card)
{
	struct vcard card;

	ck_assert_int_eq(read_one("BEGIN:VCARD\nKEY;VALUE=text:-----BEGIN PGP PUBLIC KEY "
				  "BLOCK-----\\n\\nmQAIQUJDREVGR0g=\\n=AAAA\\n-----END PGP "
				  "PUBLIC KEY BLOCK-----\\n\nEND:VCARD\n",
			     &card, NULL),
	    1);
	ck_assert_uint_eq(card.keys.pgp->len, sizeof(pgp) - 1);
	ck_assert_mem_eq(card.keys.pgp->data, pgp, sizeof(pgp) - 1);
	vcard_clear(&card);
}
END_TEST

static const char private_pem[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
static const char private_armor[] = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQAIQUJDREVGR0g=\n"
				    "-----END PGP PRIVATE KEY BLOCK-----\n";
static const char mislabelled[] = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nlQAIQUJDREVGR0g=\n"
				  "-----END PGP PUBLIC KEY BLOCK-----\n";

static const struct {
	const char *bytes, *error;
} refused[] = {
	{ "", "there is no key in it" },
	{ "Dear Bo", "neither" },
	{ "QUJD", "neither" },
	{ "\x30\x03\x02\x01\x01", "neither" },
	{ "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", "cannot be read" },
	{ private_pem, "private key" },
	{ private_armor, "private key" },
	{ mislabelled, "private key" },
	{ "\x95\x01\x08"
	  "ABCDEFGH",
	    "private key" },
};

START_TEST(what_is_no_key)
{
	struct keydata found;
	struct pn_error err;

	keydata_init(&found);
	ck_assert_int_eq(keydata_look(&found, pn_slice_of(refused[_i].bytes), &err), -EINVAL);
	ck_assert_msg(strstr(err.text, refused[_i].error), "%s", err.text);
	ck_assert_uint_eq(keydata_count(&found), 0);
	keydata_clear(&found);
}
END_TEST

START_TEST(people_before_authorities)
{
	struct pki_wanted root = { .ca = true, .names = "DNS:ca.example" };
	struct pki_wanted one = { .names = "email:a@b.example" };
	struct pki_cert ca = pki_cert_make(&root, NULL), leaf = pki_cert_make(&one, &ca);
	struct pn_slice ca_pem = pki_cert_pem(&ca), leaf_pem = pki_cert_pem(&leaf);
	struct pn_slice leaf_der = pki_cert_der(&leaf), next, rest;
	struct keydata found;

	keydata_init(&found);
	ck_assert_int_eq(keydata_look(&found, ca_pem, NULL), 0);
	ck_assert_int_eq(keydata_look(&found, leaf_pem, NULL), 0);
	ck_assert_int_eq(keydata_look(&found, leaf_der, NULL), 0);
	ck_assert_uint_eq(found.leaves, 1);
	ck_assert_uint_eq(found.authorities, 1);
	rest = pn_slice(found.certificates->data, found.certificates->len);
	ck_assert_uint_eq(keydata_leaf_len(rest), leaf_der.len);
	ck_assert(keydata_next_certificate(&rest, &next) && pn_slice_equals(next, leaf_der));
	ck_assert(keydata_next_certificate(&rest, &next) && rest.len == 0);
	ck_assert_int_eq(keydata_look(&found, pn_slice_of(armor), NULL), 0);
	ck_assert_int_eq(keydata_look(&found, pn_slice(pgp, sizeof(pgp) - 1), NULL), 0);
	ck_assert_uint_eq(keydata_count(&found), 3);
	keydata_clear(&found);
	drop(ca_pem);
	drop(leaf_pem);
	drop(leaf_der);
	pki_cert_free(&ca);
	pki_cert_free(&leaf);
}
END_TEST

/* ---- writing --------------------------------------------------------------------------------- */

START_TEST(what_is_written_is_read)
{
	struct pki_wanted wanted = { .names = "email:a@b.example", .rsa = 2048 };
	struct pki_cert cert = pki_cert_make(&wanted, NULL);
	struct pn_slice der = pki_cert_der(&cert);
	const struct vcard_source source = {
		.name = "M\xc3\xbcller\\, Jan; \xe6\xbc\xa2\xe5\xad\x97 "
			"and a name that is longer than a line, "
			"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97",
		.address = "a@b.example",
		.question = "Which ward, which bed?",
		.certificates = der,
		.pgp = pn_slice(pgp, sizeof(pgp) - 1)
	};
	GString *text = g_string_new(NULL);
	struct vcard card;
	char **lines;

	vcard_write(text, _i, &source);
	lines = g_strsplit(text->str, "\r\n", -1);
	for (char **line = lines; *line; line++) {
		ck_assert_uint_le(strlen(*line), 75);
		ck_assert(g_utf8_validate(*line, -1, NULL));
	}
	ck_assert_int_eq(read_one(text->str, &card, NULL), 1);
	ck_assert_str_eq(card.name, source.name);
	ck_assert_str_eq(card.addresses->pdata[0], source.address);
	ck_assert_str_eq(card.question, source.question);
	ck_assert_mem_eq(card.keys.certificates->data, der.data, der.len);
	ck_assert_mem_eq(card.keys.pgp->data, pgp, sizeof(pgp) - 1);
	ck_assert_uint_eq(card.problems->len, 0);
	vcard_clear(&card);
	g_strfreev(lines);
	g_string_free(text, TRUE);
	drop(der);
	pki_cert_free(&cert);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("vcard");
	TCase *tcase = tcase_create("vcard");

	tcase_add_loop_test(tcase, lines_are_unfolded_and_decoded, 0, COUNT(values));
	tcase_add_test(tcase, names_are_cut_between_characters);
	tcase_add_test(tcase, long_lines_are_left_out);
	tcase_add_loop_test(tcase, what_is_no_card_is_said_with_its_line, 0, COUNT(broken));
	tcase_add_test(tcase, several_cards);
	tcase_add_test(tcase, a_card_has_so_many_addresses);
	tcase_add_loop_test(tcase, cards_of_real_clients, 0, COUNT(files));
	tcase_add_loop_test(tcase, keys_of_cards, 0, COUNT(keys));
	tcase_add_test(tcase, armor_in_a_card);
	tcase_add_loop_test(tcase, what_is_no_key, 0, COUNT(refused));
	tcase_add_test(tcase, people_before_authorities);
	tcase_add_loop_test(tcase, what_is_written_is_read, 3, 5);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
