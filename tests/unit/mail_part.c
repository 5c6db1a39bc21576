/* SPDX-License-Identifier: Apache-2.0 */
/* mail_part.c - tests of core/mail/part.h: the tree, its limits, decoding, text put into parts. */
#include "run.h"
#include <core/mail/part.h>
#include <errno.h>
#include <stdio.h>

static struct mail_bytes *
bytes_of(const char *text, size_t len)
{
	struct mail_bytes *bytes;

	ck_assert_int_eq(mail_bytes_new(0, &bytes), 0);
	ck_assert_int_eq(mail_bytes_append(bytes, text, len, SIZE_MAX), 0);
	return bytes;
}

static struct mail_parts *
read_parts(const char *text)
{
	struct mail_bytes *bytes = bytes_of(text, strlen(text));
	struct mail_parts *parts = NULL;
	struct pn_error err = { 0 };

	ck_assert_msg(mail_parts_read(bytes, &parts, &err) == 0, "%s", err.text);
	mail_bytes_release(&bytes);
	return parts;
}

static int
refusal(const char *text, size_t len)
{
	struct mail_bytes *bytes = bytes_of(text, len);
	struct mail_parts *parts = NULL;
	struct pn_error err = { 0 };
	int r = mail_parts_read(bytes, &parts, &err);

	ck_assert_int_eq(r < 0, err.code != 0);
	mail_parts_release(&parts);
	mail_bytes_release(&bytes);
	return r;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static const char nested[] =
    "From: a@example.org\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=\"out\"\r\n\r\n"
    "preamble\r\n--out\r\n"
    "Content-Type: multipart/alternative; boundary=in\r\n\r\n"
    "--in\r\nContent-Type: Text/Plain; charset=\"UTF-8\"; format=flowed\r\n\r\nplain\r\n\r\n"
    "--in\r\n\r\ndefault\r\n--in--\r\ninner epilogue\r\n"
    "--out\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nforwarded\r\n"
    "--out\r\nContent-Type: application/pdf; name*=utf-8''caf%C3%A9.pdf\r\n"
    "Content-Transfer-Encoding: Base64\r\nContent-Disposition: Attachment\r\n\r\nQUJD\r\n"
    "--out--\r\nepilogue\r\n";

START_TEST(tree_of_parts)
{
	static const struct {
		const char *type, *body;
		size_t behind;
	} wanted[] = {
		{ "multipart/mixed", NULL, 7 },
		{ "multipart/alternative",
		    "--in\r\nContent-Type: Text/Plain; charset=\"UTF-8\"; format=flowed\r\n\r\n"
		    "plain\r\n\r\n--in\r\n\r\ndefault\r\n--in--\r\ninner epilogue",
		    4 },
		{ "text/plain", "plain\r\n", 3 },
		{ "text/plain", "default", 4 },
		{ "message/rfc822", "Subject: inside\r\n\r\nforwarded", 6 },
		{ "text/plain", "forwarded", 6 },
		{ "application/pdf", "QUJD", 7 },
	};
	struct mail_parts *parts = read_parts(nested);
	const struct pn_part *root = parts->parts[0], *part = root;

	ck_assert_uint_eq(parts->count, 7);
	for (size_t i = 0; i < 7; i++, part = pn_part_next(part)) {
		ck_assert_str_eq(pn_part_type(part), wanted[i].type);
		ck_assert_uint_eq(part->behind, wanted[i].behind);
		if (wanted[i].body)
			ck_assert(pn_slice_equals(pn_part_body(part), pn_slice_of(wanted[i].body)));
	}
	ck_assert_ptr_null(part);
	ck_assert_uint_eq(pn_part_body(root).len + pn_part_header(root).len, strlen(nested));
	part = pn_part_first_child(root);
	ck_assert(pn_part_is(part, "multipart/*") && !pn_part_is(part, "multi/*"));
	ck_assert_ptr_eq(pn_part_sibling(part), parts->parts[4]);
	ck_assert_ptr_eq(pn_part_skip(part), parts->parts[4]);
	ck_assert_ptr_null(pn_part_sibling(parts->parts[3]));
	ck_assert_ptr_null(pn_part_first_child(parts->parts[3]));
	ck_assert_ptr_eq(pn_part_parent(parts->parts[3]), part);
	ck_assert_ptr_null(pn_part_parent(root));
	mail_parts_release(&parts);
}
END_TEST

START_TEST(what_a_part_says)
{
	struct mail_parts *parts = read_parts(nested);
	const struct pn_part *text = parts->parts[2], *pdf = parts->parts[6];
	struct pn_header field;

	ck_assert_str_eq(pn_part_charset(text), "utf-8");
	ck_assert_str_eq(pn_part_parameter(text, "format"), "flowed");
	ck_assert_ptr_null(pn_part_parameter(text, "delsp"));
	ck_assert_str_eq(pn_part_encoding(text), "7bit");
	ck_assert_ptr_null(pn_part_disposition(text));
	ck_assert_str_eq(pn_part_charset(parts->parts[3]), "us-ascii");
	ck_assert_str_eq(pn_part_encoding(pdf), "base64");
	ck_assert_str_eq(pn_part_disposition(pdf), "attachment");
	ck_assert_str_eq(pn_part_filename(pdf), "caf\xc3\xa9.pdf");
	ck_assert_ptr_null(pn_part_charset(pdf));
	ck_assert(pn_part_field(pdf, "content-disposition", 0, &field));
	ck_assert(pn_slice_equals(field.value, pn_slice_of(" Attachment")));
	ck_assert(!pn_part_field(pdf, "content-disposition", 1, &field));
	ck_assert(!pn_part_field(parts->parts[3], "content-type", 0, &field));
	mail_parts_release(&parts);
}
END_TEST

/* Messages on which a careless reader stumbles: type and body of each part, in order. */
static const struct {
	const char *message, *parts;
} odd[] = {
	{ "no header at all\r\n\r\nbody\r\n", "text/plain[no header at all\r\n\r\nbody\r\n]" },
	{ "Subject: only a header\r\n", "text/plain[]" },
	{ "Subject: x\r\n\r\n", "text/plain[]" },
	{ "Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
	    "multipart/mixed[no boundary\r\n]" },
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\nx\r\n--b--",
	    "multipart/mixed[--b\r\n\r\n--b\r\n\r\nx\r\n--b--]text/plain[]text/plain[x]" },
	/* the last line end of a part belongs to the boundary, whatever it is */
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\n--b\r\n\r\ny\r\n--b--\n",
	    "multipart/mixed[--b\r\n\r\nx\n--b\r\n\r\ny\r\n--b--\n]text/plain[x]text/plain[y]" },
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnot closed\r\n",
	    "multipart/mixed[--b\r\n\r\nnot closed\r\n]text/plain[not closed\r\n]" },
	{ "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nTo: "
	  "x\r\n\r\ny\r\n--b--\r\n",
	    "multipart/digest[--b\r\n\r\nTo: x\r\n\r\ny\r\n--b--\r\n]message/rfc822[To: x\r\n\r\ny]"
	    "text/plain[y]" },
	{ "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
	    "message/rfc822[QUJD\r\n]" },
};

START_TEST(odd_messages)
{
	struct mail_parts *parts = read_parts(odd[_i].message);
	struct arena arena = { 0 };
	const char *text = "";

	for (size_t i = 0; i < parts->count; i++) {
		struct pn_slice body = pn_part_body(parts->parts[i]);

		text = arena_printf(
		    &arena, "%s%s[%.*s]", text, parts->parts[i]->type, (int)body.len, body.data);
	}
	ck_assert_str_eq(text, odd[_i].parts);
	arena_free(&arena);
	mail_parts_release(&parts);
}
END_TEST

/* GMime's buffer has 4,096 bytes, and it looks at each piece of a line as if it were one. */
START_TEST(boundary_inside_a_long_line)
{
	static char text[20000], filler[9000];
	struct mail_parts *parts;

	memset(filler, 'x', sizeof(filler));
	for (int len = 3900; len < 4200; len++) {
		snprintf(text, sizeof(text),
		    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n%.*s--b--\r\n"
		    "--b\r\nContent-Type: text/html\r\n\r\nshown to all\r\n--b--\r\n",
		    len, filler);
		parts = read_parts(text);
		ck_assert_uint_eq(parts->count, 3);
		mail_parts_release(&parts);
	}
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

static size_t
repeat(char *to, const char *text, size_t count)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < count; i++)
		memcpy(to + i * len, text, len);
	return count * len;
}

START_TEST(limits)
{
	static char text[4000000];
	static const char head[] = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
	size_t len = (size_t)sprintf(text, "%s", head), at;

	at = len + repeat(text + len, "--b\r\n\r\nx\r\n", 4000);
	ck_assert_int_eq(refusal(text, at), 0);
	at = len + repeat(text + len, "--b\r\n\r\nx\r\n", 4001);
	ck_assert_int_eq(refusal(text, at), -EOVERFLOW);
	/* lines that are no boundaries are not refused */
	at = len + repeat(text + len, "--\r\n-- c\r\n", 50000);
	ck_assert_int_eq(refusal(text, at), 0);
	/* a declaration that can be read in more than one way counts them all */
	len = (size_t)sprintf(text, "Content-Type: multipart/mixed; boundary*=us-ascii''b\r\n\r\n");
	at = len + repeat(text + len, "--\r\n-- c\r\n", 50000);
	ck_assert_int_eq(refusal(text, at), -EOVERFLOW);
	/* header fields in a part */
	len = (size_t)sprintf(text, "%s--b\r\n", head);
	at = len + repeat(text + len, "a:\r\n", 19990);
	ck_assert_int_eq(refusal(text, at), 0);
	at = len + repeat(text + len, "a:\r\n", 20100);
	ck_assert_int_eq(refusal(text, at), -EOVERFLOW);
	/* levels */
	at = repeat(text, "Content-Type: message/rfc822\r\n\r\n", 400);
	ck_assert_int_eq(refusal(text, at), 0);
	at = repeat(text, "Content-Type: message/rfc822\r\n\r\n", 1200);
	ck_assert_int_eq(refusal(text, at), -EOVERFLOW);
}
END_TEST

/* Where readers see different things, nobody can say that it was inspected. */
static const char *const ambiguous[] = {
	"Content-Type: multipart/mixed; boundary=\"b\xc3\xa4\"\r\n\r\n--b\xc3\xa4\r\n\r\nx\r\n",
	"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx\r\n",
	"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
};

START_TEST(ambiguity)
{
	ck_assert_int_eq(refusal(ambiguous[_i], strlen(ambiguous[_i])), -EOVERFLOW);
}
END_TEST

/* ---- decoding -------------------------------------------------------------------------------- */

static const struct {
	const char *type, *encoding, *body;
	int r;
	const char *text;
} decoded[] = {
	{ "text/plain", "7bit", "a\r\n", 0, "a\r\n" },
	{ "text/plain; charset=utf-8", "8bit", "\xef\xbb\xbf\xc3\xa4", 0, "\xc3\xa4" },
	{ "text/plain; charset=utf-8", "8bit", "\xc3(", 0, "\xef\xbf\xbd(" },
	{ "text/plain; charset=utf-8", "8bit", "(\xc3", 0, "(\xef\xbf\xbd" },
	{ "text/plain", "8bit", "\xe4.", 0, "\xef\xbf\xbd." },
	{ "text/plain; charset=windows-1252", "8bit", "\x80", 0, "\xe2\x82\xac" },
	{ "text/plain; charset=x-nobody-knows", "8bit", "a\x80", 0, "a\xef\xbf\xbd" },
	{ "text/plain; charset=x-unknown", "8bit", "\xc3\xa4", 0, "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "text/plain; charset=ISO-8859-1", "quoted-printable", "a=\r\n=E4", 0, "a\xc3\xa4" },
	{ "text/plain; charset=ISO-2022-JP", "7bit", "\033$B$\"\033(B.", 0, "\xe3\x81\x82." },
	{ "text/plain; charset=utf-16", "base64", "//5hAOQA", 0, "a\xc3\xa4" },
	{ "text/plain; charset=utf-16", "base64", "/v8AYQDk", 0, "a\xc3\xa4" },
	{ "text/plain; charset=utf-16", "base64", "YQBiAA==", 0, "ab" },
	{ "text/plain; charset=utf-16", "base64", "AGEAYg==", 0, "ab" },
	{ "text/plain; charset=gb18030", "base64", "xOO6ww==", 0, "\xe4\xbd\xa0\xe5\xa5\xbd" },
	{ "text/plain", "x-uuencode", "begin 644 a\r\n#86)C\r\n`\r\nend\r\n", 0, "abc" },
	{ "text/plain", "x-own", "a", -ENOTSUP, "" },
	{ "image/png", "7bit", "a", -ENOTSUP, "" },
};

START_TEST(text_of_a_part)
{
	struct mail_parts *parts;
	struct pn_slice text = { "", 0 }, again;
	char message[500];

	snprintf(message, sizeof(message),
	    "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s", decoded[_i].type,
	    decoded[_i].encoding, decoded[_i].body);
	parts = read_parts(message);
	ck_assert_int_eq(mail_part_text(parts->parts[0], 1000, &text), decoded[_i].r);
	ck_assert_msg(pn_slice_equals(text, pn_slice_of(decoded[_i].text)), "\"%.*s\"",
	    (int)text.len, text.data);
	if (decoded[_i].r == 0) {
		ck_assert_int_eq(mail_part_text(parts->parts[0], text.len - 1, &again), -E2BIG);
		ck_assert_int_eq(mail_part_text(parts->parts[0], text.len, &again), 0);
		ck_assert_ptr_eq(again.data, text.data);
	}
	mail_parts_release(&parts);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

START_TEST(no_more_than_asked_for)
{
	struct mail_parts *parts = read_parts(
	    "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "QUJDREVGR0hJSktMTU5PUA==\r\n");
	struct pn_slice got;

	ck_assert_int_eq(mail_part_raw(parts->parts[0], 15, &got), -E2BIG);
	ck_assert_int_eq(mail_part_raw(parts->parts[0], 16, &got), 0);
	ck_assert_int_eq(mail_part_text(parts->parts[0], 15, &got), -E2BIG);
	mail_parts_release(&parts);
}
END_TEST

START_TEST(header_fields_decoded)
{
	struct arena arena = { 0 };
	const struct pn_mailbox *boxes;

	ck_assert_str_eq(
	    mail_header_text(
		pn_slice_of(" =?utf-8?q?caf=C3=A9?=\r\n =?iso-8859-1?q?_=E4?= x "), &arena),
	    "caf\xc3\xa9 \xc3\xa4 x");
	ck_assert_str_eq(mail_header_text(pn_slice_of(""), &arena), "");
	ck_assert_uint_eq(
	    mail_header_mailboxes(pn_slice_of(" =?utf-8?q?Ad=C3=A8le?= <a@example.org>,\r\n"
					      " friends: b@example.org, \"C, D\" <c@example.org>;"),
		&arena, &boxes),
	    3);
	ck_assert_str_eq(boxes[0].name, "Ad\xc3\xa8le");
	ck_assert_str_eq(boxes[0].address, "a@example.org");
	ck_assert_str_eq(boxes[1].name, "");
	ck_assert_str_eq(boxes[2].name, "C, D");
	ck_assert_uint_eq(mail_header_mailboxes(pn_slice_of("  "), &arena, &boxes), 0);
	arena_free(&arena);
}
END_TEST

/* GMime is made ready once, by whoever comes first; then threads do not meet. */
static void *
read_often(void *arg)
{
	const struct pn_mailbox *boxes;
	struct pn_slice text;

	for (int i = 0; i < 50; i++) {
		struct mail_parts *parts = read_parts(nested);
		struct arena arena = { 0 };

		ck_assert_int_eq(mail_part_text(parts->parts[2], 1000, &text), 0);
		ck_assert_uint_eq(mail_header_mailboxes(
				      pn_slice_of("=?iso-8859-2?q?=B1?= <a@b>"), &arena, &boxes),
		    1);
		arena_free(&arena);
		mail_parts_release(&parts);
	}
	return NULL;
}

START_TEST(several_threads)
{
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_often, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

/* ---- text into parts ------------------------------------------------------------------------- */

#define EURO  "\xe2\x82\xac"
#define AE    "\xc3\xa4"
#define LATIN "Content-Type: text/plain; charset=iso-8859-1\r\n"
#define UTF8  "Content-Type: text/plain; charset=utf-8\r\n"
#define QP    "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64   "Content-Transfer-Encoding: base64\r\n"
#define BIT8  "Content-Transfer-Encoding: 8bit\r\n"
#define LAST  PN_PART_END

static const struct {
	const char *before;
	size_t offset, length;
	const char *text;
	int r;
	const char *after;
} splices[] = {
	/* as it is */
	{ "S: x\r\n\r\nab\r\n", LAST, 0, "c\nd\n", 0, "S: x\r\n\r\nab\r\nc\r\nd\r\n" },
	{ "S: x\r\n\r\nab\r\n", 0, 0, "c", 0, "S: x\r\n\r\ncab\r\n" },
	{ "S: x\r\n\r\nab\r\n", 1, 1, "c", 0, "S: x\r\n\r\nac\r\n" },
	{ "S: x\r\n\r\nab\r\n", 2, LAST, "c", -EINVAL, NULL },
	{ "S: x\r\n\r\nab\r\n", 5, 0, "c", -EINVAL, NULL },
	{ "S: x\r\n\r\n", LAST, 0, "c\r\n", 0, "S: x\r\n\r\nc\r\n" },
	{ "S: x\r\n", LAST, 0, "c\r\n", 0, "S: x\r\n\r\nc\r\n" },
	{ "no header\r\n", LAST, 0, "c\r\n", 0, "no header\r\nc\r\n" },
	{ LATIN BIT8 "\r\n\xe4\r\n", 2, 0, AE, 0, LATIN BIT8 "\r\n\xe4\xe4\r\n" },
	{ LATIN BIT8 "\r\n\xe4\r\n", 1, 0, AE, -EINVAL, NULL }, /* inside a character */
	/* seven bits stay seven bits */
	{ "Content-Type: text/plain\r\nMIME-Version: 1.0\r\n\r\na=\r\n", LAST, 0, AE, 0,
	    "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n" QP
	    "\r\na=3D\r\n=C3=A4" },
	{ "S: x\r\n\r\na\r\n", LAST, 0, AE "\n", 0,
	    "S: x\r\nMIME-Version: 1.0\r\n" QP UTF8 "\r\na\r\n=C3=A4\r\n" },
	{ "MIME-Version: 1.0\r\n" LATIN "Content-Transfer-Encoding: 7bit\r\n\r\na\r\n", LAST, 0, AE,
	    0, "MIME-Version: 1.0\r\n" LATIN QP "\r\na\r\n=E4" },
	/* quoted-printable: what is there keeps its form */
	{ LATIN QP "\r\na=\r\nb=e4=\r\n\r\n", LAST, 0, AE " \n", 0,
	    LATIN QP "\r\na=\r\nb=e4=\r\n\r\n=E4=20\r\n" },
	{ LATIN QP "\r\n=41b\r\n", 1, 0, AE, 0, LATIN QP "\r\n=41=E4=\r\nb\r\n" },
	{ LATIN QP "\r\n=41b\r\n", 0, 1, ".", 0, LATIN QP "\r\n=2E=\r\nb\r\n" },
	/* a charset that cannot say it */
	{ LATIN QP "\r\n=E4\r\n", LAST, 0, EURO "\n", 0, UTF8 QP "\r\n=C3=A4\r\n=E2=82=AC\r\n" },
	{ "Content-Type: text/plain;\r\n charset = \"iso-8859-1\" ; x=y\r\n" B64 "\r\n5A==\r\n",
	    LAST, 0, EURO, 0,
	    "Content-Type: text/plain;\r\n charset = utf-8 ; x=y\r\n" B64 "\r\nw6Tigqw=\r\n" },
	{ "Content-Type: text/plain; x=\";charset=a\" (charset=b);\r\n" QP "\r\n", 0, 0, AE, 0,
	    "Content-Type: text/plain; x=\";charset=a\" (charset=b); charset=utf-8\r\n" QP
	    "\r\n=C3=A4" },
	{ "Content-Type: text/html; charset=iso-8859-1\r\n\r\n<p>\r\n", LAST, 0, "<b>" EURO "</b>",
	    0, "Content-Type: text/html; charset=iso-8859-1\r\n\r\n<p>\r\n<b>&#8364;</b>" },
	{ "Content-Type: text/plain\r\n" BIT8 "\r\n\xff\r\n", LAST, 0, "x" EURO "\n", 1,
	    "Content-Type: text/plain\r\n" BIT8 "\r\n\xff\r\nx?\r\n" },
	{ "Content-Type: text/plain; charset*=us-ascii''us-ascii\r\n" BIT8 "\r\n\xff\r\n", LAST, 0,
	    EURO, 1,
	    "Content-Type: text/plain; charset*=us-ascii''us-ascii\r\n" BIT8 "\r\n\xff\r\n?" },
	/* base64 */
	{ UTF8 B64 "\r\nYQpi\r\n", LAST, 0, "\r\n" AE, 0, UTF8 B64 "\r\nYQpiCsOk\r\n" },
	{ UTF8 B64 "\r\nYQ==\r\n-- \r\nlist footer\r\n", LAST, 0, "b", -ENOTSUP, NULL },
	{ UTF8 B64 "\r\nonly words\r\n", LAST, 0, "b", -ENOTSUP, NULL },
	/* what says 8bit and has none stays so: a next hop need not have 8BITMIME */
	{ UTF8 BIT8 "\r\na\r\n", LAST, 0, AE, 0, UTF8 QP "\r\na\r\n=C3=A4" },
	{ "Content-Type: text/plain; charset=utf-16\r\n" B64 "\r\n//5hAA==\r\n", 0, 0, "b", 0,
	    "Content-Type: text/plain; charset=utf-16\r\n" B64 "\r\n//5iAGEA\r\n" },
	{ "Content-Type: text/plain; charset=utf-16\r\n\r\nx\r\n", 0, 0, "b", -ENOTSUP, NULL },
	/* stateful */
	{ "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\033$B$\"\033(B\r\n", LAST, 0,
	    "\xe3\x81\x82\n", 0,
	    "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\033$B$\"\033(B\r\n"
	    "\033$B$\"\033(B\r\n" },
	{ "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\033$B$\"$\"\033(B\r\n", 3, 0, "x",
	    0,
	    "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\033$B$\"\033(Bx\033$B$\"\033(B"
	    "\r\n" },
	/* not text, or not to be understood */
	{ "Content-Type: image/png\r\n\r\nx\r\n", LAST, 0, "c", -ENOTSUP, NULL },
	{ "Content-Transfer-Encoding: x-own\r\n\r\nx\r\n", LAST, 0, "c", -ENOTSUP, NULL },
};

static struct mail_parts *
splice(const char *message, size_t part, size_t offset, size_t length, const char *text, int want,
    struct mail_bytes **ret)
{
	struct mail_parts *parts = read_parts(message);
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };
	int r = mail_part_splice(
	    parts->parts[part], offset, length, pn_slice_of(text), &arena, &edits);

	ck_assert_int_eq(r, want);
	ck_assert(r >= 0 || edits.count == 0);
	ck_assert_int_eq(mail_edits_apply(&edits, pn_slice_of(message), SIZE_MAX, ret), 0);
	arena_free(&arena);
	return parts;
}

START_TEST(text_into_a_part)
{
	struct mail_bytes *made;
	const char *wanted = splices[_i].after ? splices[_i].after : splices[_i].before;
	struct mail_parts *parts = splice(splices[_i].before, 0, splices[_i].offset,
	    splices[_i].length, splices[_i].text, splices[_i].r, &made);

	ck_assert_msg(pn_slice_equals(pn_slice(made->data, made->len), pn_slice_of(wanted)),
	    "made:\n%.*s\nwanted:\n%s", (int)made->len, made->data, wanted);
	mail_bytes_release(&made);
	mail_parts_release(&parts);
}
END_TEST

/* Into the first part of two. */
static const struct {
	const char *part, *text, *after;
} inner[] = {
	{ "\r\nab\r\n", "c\r\n", "\r\nabc\r\n\r\n" },
	{ "\r\n", "c", "\r\nc\r\n" }, /* its empty line is the one of the boundary */
	{ "\r\nab\r\n", AE, QP UTF8 "\r\nab=C3=A4\r\n" },
	{ "\r\n", AE, QP UTF8 "\r\n=C3=A4\r\n" },
	{ B64 "\r\nYWI=\r\n", "c", B64 "\r\nYWJj\r\n" },
	{ B64 "\r\n", "c", B64 "\r\nYw==\r\n" },
	{ QP "\r\n", "c", QP "\r\nc\r\n" },
};

#define AROUND(text) \
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" text \
	"--b\r\n\r\nother\r\n--b--\r\n"

START_TEST(text_into_an_inner_part)
{
	struct mail_bytes *made;
	struct mail_parts *parts;
	char before[1000], wanted[1000];

	snprintf(before, sizeof(before), AROUND("%s"), inner[_i].part);
	snprintf(wanted, sizeof(wanted), AROUND("%s"), inner[_i].after);
	parts = splice(before, 1, LAST, 0, inner[_i].text, 0, &made);
	ck_assert_msg(pn_slice_equals(pn_slice(made->data, made->len), pn_slice_of(wanted)),
	    "made:\n%.*s\nwanted:\n%s", (int)made->len, made->data, wanted);
	mail_bytes_release(&made);
	mail_parts_release(&parts);
}
END_TEST

START_TEST(no_long_line_is_made)
{
	static char text[3000], message[4000];
	struct mail_bytes *made;
	struct mail_parts *parts;
	size_t column = 0;

	repeat(text, "word ", 400);
	snprintf(message, sizeof(message), "MIME-Version: 1.0\r\n\r\n%.*s\r\n", 600, text);
	/* the lines that are there are as they are; what fits is spliced in */
	parts = splice(message, 0, LAST, 0, "short\n", 0, &made);
	ck_assert_ptr_null(memmem(made->data, made->len, "quoted-printable", 16));
	mail_bytes_release(&made);
	mail_parts_release(&parts);
	parts = splice(message, 0, 0, 0, text, 0, &made);
	ck_assert_ptr_nonnull(memmem(made->data, made->len, "quoted-printable", 16));
	for (size_t i = 0; i < made->len; i++) {
		column = made->data[i] == '\n' ? 0 : column + 1;
		ck_assert_uint_le(column, 78);
	}
	mail_bytes_release(&made);
	mail_parts_release(&parts);
}
END_TEST

START_TEST(two_edits)
{
	static const char message[] = "MIME-Version: 1.0\r\n\r\nab\r\n";
	struct mail_parts *parts = read_parts(message);
	const struct pn_part *root = parts->parts[0];
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };
	struct mail_bytes *made;

	ck_assert_int_eq(mail_part_splice(root, 0, 0, pn_slice_of("x"), &arena, &edits), 0);
	ck_assert_int_eq(mail_part_splice(root, LAST, 0, pn_slice_of("y"), &arena, &edits), 0);
	/* this one would write the part anew, with those two in it: all of it or nothing */
	ck_assert_int_eq(mail_part_splice(root, 1, 0, pn_slice_of(AE), &arena, &edits), -EINVAL);
	ck_assert_int_eq(mail_edits_apply(&edits, pn_slice_of(message), SIZE_MAX, &made), 0);
	ck_assert(pn_slice_equals(
	    pn_slice(made->data, made->len), pn_slice_of("MIME-Version: 1.0\r\n\r\nxab\r\ny")));
	mail_bytes_release(&made);
	mail_parts_release(&parts);
	arena_free(&arena);
}
END_TEST

static const struct {
	const char *text;
	size_t column;
	const char *coded;
} quoted[] = {
	{ "a b\r\n", 0, "a b\r\n" },
	{ "a \r\nb\t", 0, "a=20\r\nb=09" },
	{ ".\r\nFrom x\r\nx.F", 0, "=2E\r\n=46rom x\r\nx.F" },
	{ ".", 5, "." },
	{ "a\rb\nc", 0, "a=0Db=0Ac" },
	{ "12", 74, "12" },
	{ "123", 74, "1=\r\n23" },
	{ "=", 74, "=\r\n=3D" },
	{ "=", 73, "=3D" },
};

START_TEST(quoted_printable)
{
	struct buf coded = BUF_INIT(1000);

	ck_assert_int_eq(
	    mail_qp_encode(pn_slice_of(quoted[_i].text), quoted[_i].column, &coded), 0);
	ck_assert_str_eq(buf_text(&coded), quoted[_i].coded);
	buf_free(&coded);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *suite = suite_create("mail_part");
	TCase *tree = tcase_create("tree"), *text = tcase_create("text");

	tcase_add_test(tree, tree_of_parts);
	tcase_add_test(tree, what_a_part_says);
	tcase_add_loop_test(tree, odd_messages, 0, COUNT(odd));
	tcase_add_test(tree, boundary_inside_a_long_line);
	tcase_add_test(tree, limits);
	tcase_add_loop_test(tree, ambiguity, 0, COUNT(ambiguous));
	suite_add_tcase(suite, tree);
	tcase_add_loop_test(text, text_of_a_part, 0, COUNT(decoded));
	tcase_add_test(text, no_more_than_asked_for);
	tcase_add_test(text, header_fields_decoded);
	tcase_add_test(text, several_threads);
	tcase_add_loop_test(text, text_into_a_part, 0, COUNT(splices));
	tcase_add_loop_test(text, text_into_an_inner_part, 0, COUNT(inner));
	tcase_add_test(text, no_long_line_is_made);
	tcase_add_test(text, two_edits);
	tcase_add_loop_test(text, quoted_printable, 0, COUNT(quoted));
	suite_add_tcase(suite, text);
	return unit_run(suite);
}
