/* SPDX-License-Identifier: Apache-2.0 */
/* mail_fixups.c - unit tests of the trace header and of what a submission server puts right. */
#include "run.h"
#include <check.h>
#include <core/mail/fixups.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>

#define WALL  1795341600000000 /* Sun, 22 Nov 2026 10:00:00 +0000 */
#define DATE  "Sun, 22 Nov 2026 10:00:00 +0000"
#define TRACE "Received: by relay.example with ESMTP id 06F3K9;\r\n\t" DATE "\r\n"

/* A trace header as short as it gets, so that the tables below stay readable. */
static const struct mail_fixups plain = { .relay_name = "relay.example",
	.id = "06F3K9",
	.wall_us = WALL,
	.submission = true,
	.hide_client = true };
static const struct mail_facts hidden = {
	.client_literal = "[192.0.2.7]", .helo = "client.example", .esmtp = true
};

static char *
fix(const struct mail_fixups *how, const struct mail_facts *facts,
    const struct mail_envelope *envelope, struct pn_slice bytes)
{
	struct mail_bytes *made;
	struct mail_edits edits = { 0 };
	struct mail_header header;
	struct arena arena = { 0 };
	char *text;

	ck_assert_int_eq(mail_header_index(bytes, 10000, &arena, &header), 0);
	ck_assert_int_eq(mail_fixups_edit(how, facts, envelope, bytes, &header, &arena, &edits), 0);
	if (!how->submission)
		ck_assert_uint_eq(edits.count, 1);
	ck_assert_int_eq(mail_edits_apply(&edits, bytes, SIZE_MAX, &made), 0);
	text = g_malloc0(made->len + 1);
	memcpy(text, made->data, made->len);
	mail_bytes_release(&made);
	arena_free(&arena);
	return text;
}

static struct mail_envelope
make_envelope(struct arena *arena, const char *sender, const char *one, const char *two)
{
	struct mail_envelope envelope = { .sender = sender, .original_sender = sender };

	mail_envelope_add(&envelope, arena, one);
	if (two)
		mail_envelope_add(&envelope, arena, two);
	return envelope;
}

/* ---- the trace header ----------------------------------------------------------------------- */

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	struct mail_facts facts;
	bool hide;
	const char *one, *two, *want;
} traces[] = {
	{ { .client_literal = "[192.0.2.7]", .helo = "client.example" }, false, "b@example.org",
	    NULL,
	    "Received: from client.example ([192.0.2.7]) by relay.example with SMTP\r\n"
	    "\tid 06F3K9 for <b@example.org>; " DATE "\r\n" },
	{ { .client_literal = "[IPv6:2001:db8::1]",
	      .helo = "[IPv6:2001:db8::1]",
	      .user = "ada@clinic.example",
	      .tls_version = "TLSv1.3",
	      .tls_cipher = "TLS_AES_256_GCM_SHA384",
	      .tls_bits = 256,
	      .esmtp = true },
	    false, "b@example.org", "c@example.org",
	    "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
	    "\t(TLSv1.3 cipher TLS_AES_256_GCM_SHA384 bits 256)\r\n"
	    "\t(authenticated as ada@clinic.example) by relay.example with ESMTPSA\r\n"
	    "\tid 06F3K9; " DATE "\r\n" },
	/* B-28: neither address nor HELO nor user */
	{ { .client_literal = "[192.0.2.7]",
	      .helo = "client.example",
	      .user = "ada@clinic.example",
	      .tls_version = "TLSv1.2",
	      .tls_cipher = "X",
	      .tls_bits = 128,
	      .esmtp = true },
	    true, "b@example.org", NULL,
	    "Received: (TLSv1.2 cipher X bits 128) by relay.example with ESMTPSA id 06F3K9\r\n"
	    "\tfor <b@example.org>; " DATE "\r\n" },
	/* a unix socket, before HELO */
	{ { .client_literal = NULL, .helo = "" }, false, "b@example.org", "c@example.org",
	    "Received: from local by relay.example with SMTP id 06F3K9;\r\n"
	    "\t" DATE "\r\n" },
	/* what a client says may not leave its place */
	{ { .client_literal = "[192.0.2.7]", .helo = "a b) by evil;\r\nBcc: x\xc3\xbc" }, false,
	    "b@example.org", "c@example.org",
	    "Received: from [192.0.2.7] (helo a?b??by?evil???Bcc:?x?\?) by relay.example\r\n"
	    "\twith SMTP id 06F3K9; " DATE "\r\n" },
	{ { .client_literal = "[192.0.2.7]",
	      .helo = "[192.0.2.7",
	      .user = "x)\n(y",
	      .esmtp = true },
	    false, "b@example.org", "c@example.org",
	    "Received: from [192.0.2.7] (helo [192.0.2.7) (authenticated as x???y)\r\n"
	    "\tby relay.example with ESMTPA id 06F3K9;\r\n"
	    "\t" DATE "\r\n" },
	{ { .client_literal = "[192.0.2.7]", .helo = "WIN_7" }, false, "b@c\r\nX: y", NULL,
	    "Received: from WIN_7 ([192.0.2.7]) by relay.example with SMTP id 06F3K9;\r\n"
	    "\t" DATE "\r\n" },
	/* UTF-8 only where the message may carry it (RFC 6531) */
	{ { .client_literal = "[192.0.2.7]", .helo = "h", .user = "\xc3\xbc@a.example" }, false,
	    "\xc3\xbc@b.example", NULL,
	    "Received: from h ([192.0.2.7]) (authenticated as ??@a.example)\r\n"
	    "\tby relay.example with SMTP id 06F3K9; " DATE "\r\n" },
	{ { .client_literal = "[192.0.2.7]",
	      .helo = "h",
	      .user = "\xc3\xbc@a.example",
	      .esmtp = true,
	      .smtputf8 = true },
	    false, "\xc3\xbc@b.example", NULL,
	    "Received: from h ([192.0.2.7]) (authenticated as \xc3\xbc@a.example)\r\n"
	    "\tby relay.example with UTF8SMTPA id 06F3K9 for <\xc3\xbc@b.example>;\r\n"
	    "\t" DATE "\r\n" },
	/* long words stand alone */
	{ { .client_literal = "[192.0.2.7]", .helo = LONG "." LONG }, false, "b@example.org",
	    "c@example.org",
	    "Received:\r\n\tfrom " LONG "." LONG "\r\n"
	    "\t([192.0.2.7]) by relay.example with SMTP id 06F3K9;\r\n"
	    "\t" DATE "\r\n" },
};

START_TEST(trace_header)
{
	struct mail_fixups how = plain;
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(
	    &arena, "a@example.org", traces[_i].one, traces[_i].two);
	char *text, *want = g_strconcat(traces[_i].want, "A: b\r\n\r\nbody", NULL);

	how.submission = false;
	how.hide_client = traces[_i].hide;
	text = fix(&how, &traces[_i].facts, &envelope, pn_slice_of("A: b\r\n\r\nbody"));
	ck_assert_str_eq(text, want);
	g_free(text);
	g_free(want);
	arena_free(&arena);
}
END_TEST

/* Only the relay says how a copy was protected (B-12). */
START_TEST(labels)
{
	static const struct {
		const char *message, *label, *want;
	} cases[] = {
		{ "A: b\r\nx-HOW: S/MIME\r\nC: d\r\n\r\nX-How: body\r\n", NULL,
		    "A: b\r\nC: d\r\n\r\nX-How: body\r\n" },
		{ "X-How: one\r\nX-How:\r\n two\r\nA: b\r\nX-How : three\r\n\r\n", "TLS",
		    "X-How: TLS\r\nA: b\r\n\r\n" },
		{ "A: b\r\n\r\n", "TLS", "X-How: TLS\r\nA: b\r\n\r\n" },
		{ "X-Howl: one\r\n\r\n", NULL, "X-Howl: one\r\n\r\n" },
	};
	struct mail_fixups how = plain;
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(&arena, "", "a@example.org", NULL);
	struct mail_header header;

	how.submission = false;
	how.no_trace = true;
	how.label_name = "X-How";
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pn_slice bytes = pn_slice_of(cases[i].message);
		struct mail_edits edits = { 0 };
		struct mail_bytes *made;

		how.label = cases[i].label;
		mail_header_index(bytes, 10000, &arena, &header);
		ck_assert_int_eq(
		    mail_fixups_edit(&how, &hidden, &envelope, bytes, &header, &arena, &edits), 0);
		ck_assert_int_eq(mail_edits_apply(&edits, bytes, SIZE_MAX, &made), 0);
		ck_assert_uint_eq(made->len, strlen(cases[i].want));
		ck_assert_mem_eq(made->data, cases[i].want, made->len);
		mail_bytes_release(&made);
	}
	arena_free(&arena);
}
END_TEST

/* A recipient that policy has rewritten is shown as the client wrote it. */
START_TEST(trace_shows_the_original)
{
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(&arena, "", "alias@example.org", NULL);
	char *text;

	envelope.recipients[0].address = "real@internal.example";
	text = fix(&plain, &hidden, &envelope, pn_slice_of(""));
	ck_assert_ptr_nonnull(strstr(text, "for <alias@example.org>;"));
	ck_assert_ptr_null(strstr(text, "internal"));
	g_free(text);
	arena_free(&arena);
}
END_TEST

/* ---- messages ------------------------------------------------------------------------------- */

#define D "Date: " DATE "\r\n"
#define F "From: a@example.org\r\n"
#define M "Message-ID: <06F3K9@relay.example>\r\n"

/* What stands behind the trace header: without fixups, and on submission. */
static const struct {
	const char *bytes, *off, *on;
} messages[] = {
	{ "Subject: x\r\n\r\nbody", "Subject: x\r\n\r\nbody", D F M "Subject: x\r\n\r\nbody" },
	{ "Date: x\r\nFrom: y\r\nMessage-Id: z\r\n\r\n",
	    "Date: x\r\nFrom: y\r\nMessage-Id: z\r\n\r\n",
	    "Date: x\r\nFrom: y\r\nMessage-Id: z\r\n\r\n" },
	{ "DATE : x\r\nfrom\t: y\r\n\r\n", "DATE : x\r\nfrom\t: y\r\n\r\n",
	    M "DATE : x\r\nfrom\t: y\r\n\r\n" },
	/* below older trace headers, which stay together */
	{ "Received: 1\r\n x\r\nReceived: 2\r\nFrom: y\r\n\r\n",
	    "Received: 1\r\n x\r\nReceived: 2\r\nFrom: y\r\n\r\n",
	    "Received: 1\r\n x\r\nReceived: 2\r\n" D M "From: y\r\n\r\n" },
	{ "Received: 1\r\n\r\n", "Received: 1\r\n\r\n", D F M "Received: 1\r\n\r\n" },
	/* Bcc in every spelling; a folded one whole; not in the body, not by prefix */
	{ "Bcc: x\r\nFrom: y\r\nbCC \t:\r\n x,\r\n\ty\r\nResent-BCC: z\r\nBcc2: k\r\n\r\nBcc: "
	  "body\r\n",
	    "Bcc: x\r\nFrom: y\r\nbCC \t:\r\n x,\r\n\ty\r\nResent-BCC: z\r\nBcc2: k\r\n\r\nBcc: "
	    "body\r\n",
	    D M "From: y\r\nBcc2: k\r\n\r\nBcc: body\r\n" },
	{ "Return-Path: <x>\r\nReceived: 1\r\nreturn-path :<y>\r\nFrom: y\r\n\r\n",
	    "Return-Path: <x>\r\nReceived: 1\r\nreturn-path :<y>\r\nFrom: y\r\n\r\n",
	    "Received: 1\r\n" D M "From: y\r\n\r\n" },
	{ "From: y\r\nBcc: x", "From: y\r\nBcc: x", D M "From: y\r\n" },
	{ "Bcc: x\r\n", "Bcc: x\r\n", D F M },
	/* without header, without body, without either */
	{ "", "", D F M },
	{ "\r\nbody", "\r\nbody", D F M "\r\nbody" },
	{ "Subject: x\r\n", "Subject: x\r\n", D F M "Subject: x\r\n" },
	{ "Hello you\r\nNote: x\r\n\r\nbody", "\r\nHello you\r\nNote: x\r\n\r\nbody",
	    D F M "\r\nHello you\r\nNote: x\r\n\r\nbody" },
	{ "Hello you\r\nFrom: x\r\nBcc: y\r\n\r\n", "\r\nHello you\r\nFrom: x\r\nBcc: y\r\n\r\n",
	    D F M "\r\nHello you\r\nFrom: x\r\n\r\n" },
	{ " From: x\r\nSubject: y\r\n\r\n", "\r\n From: x\r\nSubject: y\r\n\r\n",
	    D F M "\r\n From: x\r\nSubject: y\r\n\r\n" },
	{ " \r\n", "\r\n \r\n", D F M "\r\n \r\n" },
	{ "body", "\r\nbody", D F M "\r\nbody" },
	{ ":\r\n", "\r\n:\r\n", D F M "\r\n:\r\n" },
	/* junk inside stays where it is */
	{ "From: x\r\njunk\r\nBcc: y\r\n\r\n", "From: x\r\njunk\r\nBcc: y\r\n\r\n",
	    D M "From: x\r\njunk\r\n\r\n" },
	/* mbox */
	{ "From a@b Mon Jan  1\r\nReceived: 1\r\nFrom: x\r\n\r\n",
	    "From a@b Mon Jan  1\r\nReceived: 1\r\nFrom: x\r\n\r\n",
	    "Received: 1\r\n" D M "From: x\r\n\r\n" },
	{ ">From a@b Mon Jan  1\r\nFrom: x\r\n\r\n", ">From a@b Mon Jan  1\r\nFrom: x\r\n\r\n",
	    D M "From: x\r\n\r\n" },
	{ "From here on\r\nthis is text.\r\n", "\r\nFrom here on\r\nthis is text.\r\n",
	    D F M "\r\nFrom here on\r\nthis is text.\r\n" },
	{ "From here\r\n on\r\nthis: text.\r\n", "\r\nFrom here\r\n on\r\nthis: text.\r\n",
	    D F M "\r\nFrom here\r\n on\r\nthis: text.\r\n" },
	{ "From here\r\n", "\r\nFrom here\r\n", D F M "\r\nFrom here\r\n" },
};

START_TEST(message)
{
	struct mail_fixups how = plain;
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(&arena, "a@example.org", "b@c", "d@e");
	char *text, *want;

	text = fix(&how, &hidden, &envelope, pn_slice_of(messages[_i].bytes));
	want = g_strconcat(TRACE, messages[_i].on, NULL);
	ck_assert_str_eq(text, want);
	g_free(text);
	g_free(want);
	how.submission = false;
	text = fix(&how, &hidden, &envelope, pn_slice_of(messages[_i].bytes));
	want = g_strconcat(TRACE, messages[_i].off, NULL);
	ck_assert_str_eq(text, want);
	g_free(text);
	g_free(want);
	arena_free(&arena);
}
END_TEST

/* A From is made of a sender only where there is one that may stand in a header. */
static const struct {
	const char *sender, *from;
} senders[] = {
	{ "", NULL },
	{ "a@example.org", "From: a@example.org\r\n" },
	{ "\"a b\"@example.org", "From: \"a b\"@example.org\r\n" },
	{ "postmaster", NULL },
	{ "a\r\nBcc: x@example.org", NULL },
};

START_TEST(from_of_sender)
{
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(&arena, senders[_i].sender, "b@c", NULL);
	char *text = fix(&plain, &hidden, &envelope, pn_slice_of("Subject: x\r\n\r\n"));

	if (senders[_i].from)
		ck_assert_ptr_nonnull(strstr(text, senders[_i].from));
	else
		ck_assert_ptr_null(strstr(text, "From:"));
	ck_assert_ptr_null(strstr(text, "Bcc"));
	g_free(text);
	arena_free(&arena);
}
END_TEST

START_TEST(received_count)
{
	struct pn_slice bytes = pn_slice_of(
	    "Received: 1\r\nRECEIVED : 2\r\nX-Received: 3\r\nreceived: 4\r\n\r\nReceived: 5");
	struct arena arena = { 0 };
	struct mail_header header;

	ck_assert_int_eq(mail_header_index(bytes, 10, &arena, &header), 0);
	ck_assert_uint_eq(mail_received_count(bytes, &header), 3);
	arena_free(&arena);
}
END_TEST

/* ---- real mail ------------------------------------------------------------------------------ */

/* LF to CRLF, as a client sends it. */
static GString *
load(const char *directory, const char *name)
{
	char *path = g_build_filename(directory, name, NULL), *data;
	GString *text = g_string_new(NULL);
	size_t len;

	ck_assert_msg(g_file_get_contents(path, &data, &len, NULL), "cannot read %s", path);
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\r')
			continue;
		if (data[i] == '\n')
			g_string_append_c(text, '\r');
		g_string_append_c(text, data[i]);
	}
	g_free(data);
	g_free(path);
	return text;
}

/* Those that begin with text: the fixups give them an empty line. */
static bool
is_headless(const char *name)
{
	static const char *const headless[] = { "enmime-low-quality-bad-header-start.eml",
		"enmime-mail-erroneous.eml", "mime4j-malformedHeader-noheader.eml",
		"mime4j-malformedHeaderStartsBody-noheader.eml", NULL };

	return g_strv_contains(headless, name);
}

/* Fields follow one another without a gap, so that put together they are the header again. */
static void
check_fields(const char *name, struct pn_slice bytes, const struct mail_header *header)
{
	size_t at = 0;

	for (size_t i = 0; i < header->count; i++) {
		const struct mail_field *field = &header->fields[i];

		ck_assert_msg(field->start == at && field->end > at, "%s: field %zu", name, i);
		ck_assert(field->value >= field->start && field->value <= field->end);
		at = field->end;
	}
	ck_assert_msg(header->size == at, "%s: size", name);
	ck_assert_msg(header->body - at == 2 || header->body == bytes.len, "%s: body", name);
}

static void
check_real(const char *name, struct pn_slice bytes)
{
	struct mail_fixups off = plain;
	struct arena arena = { 0 };
	struct mail_envelope envelope = make_envelope(&arena, "a@example.org", "b@c", "d@e");
	struct mail_header header;
	const char *prefix = is_headless(name) ? TRACE "\r\n" : TRACE;
	char *text;

	off.submission = false;
	ck_assert_int_eq(mail_header_index(bytes, 10000, &arena, &header), 0);
	check_fields(name, bytes, &header);
	text = fix(&off, &hidden, &envelope, bytes);
	ck_assert_msg(g_str_has_prefix(text, prefix), "%s: trace header", name);
	ck_assert_msg(memcmp(text + strlen(prefix), bytes.data, bytes.len + 1) == 0,
	    "%s: not the same behind the trace header", name);
	g_free(text);
	arena_free(&arena);
}

START_TEST(real_mail)
{
	char *path = g_build_filename(g_getenv("POSTERN_SRCDIR"), "tests", "data", "mail", NULL);
	GDir *directory = g_dir_open(path, 0, NULL);
	const char *name;
	int count = 0;

	ck_assert_msg(directory != NULL, "cannot open %s", path);
	while ((name = g_dir_read_name(directory))) {
		GString *text;

		if (!g_str_has_suffix(name, ".eml"))
			continue;
		text = load(path, name);
		check_real(name, pn_slice(text->str, text->len));
		g_string_free(text, TRUE);
		count++;
	}
	ck_assert_int_ge(count, 37);
	g_dir_close(directory);
	g_free(path);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

int
main(void)
{
	Suite *suite = suite_create("mail_fixups");
	TCase *tcase = tcase_create("all");

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, trace_header, 0, COUNT(traces));
	tcase_add_test(tcase, trace_shows_the_original);
	tcase_add_test(tcase, labels);
	tcase_add_loop_test(tcase, message, 0, COUNT(messages));
	tcase_add_loop_test(tcase, from_of_sender, 0, COUNT(senders));
	tcase_add_test(tcase, received_count);
	tcase_add_test(tcase, real_mail);
	return unit_run(suite);
}
