/* SPDX-License-Identifier: Apache-2.0 */
/* mail_address.c - unit tests of addresses, envelopes and session facts (core/mail). */
#include "run.h"
#include <check.h>
#include <core/mail/address.h>
#include <core/mail/address_list.h>
#include <core/mail/envelope.h>
#include <core/mail/facts.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define A16 "aaaaaaaaaaaaaaaa"
#define A63 A16 A16 A16 "aaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
/* 4 * 64 - 1: the longest domain there is */
#define D255 A63 "." A63 "." A63 "." A63

static const struct {
	const char *text;
	int ascii, utf8; /* results without and with SMTPUTF8 */
} checked[] = {
	{ "a@example.org", 0, 0 },
	{ "a.b.c@example.org", 0, 0 },
	{ "!#$%&'*+-/=?^_`{|}~@example.org", 0, 0 },
	{ "a@b", 0, 0 },
	{ "A@EXAMPLE.org", 0, 0 },
	{ "a@x-y.1a.example", 0, 0 },
	{ "postmaster", 0, 0 },
	{ "PostMaster", 0, 0 },
	{ "\"a b\"@example.org", 0, 0 },
	{ "\"a@b\"@example.org", 0, 0 },
	{ "\"a\\\"b\\\\\"@example.org", 0, 0 },
	{ "a@[192.0.2.1]", 0, 0 },
	{ "a@[IPv6:2001:db8::1]", 0, 0 },
	{ "a@[ipv6:::ffff:192.0.2.1]", 0, 0 },
	{ A64 "@example.org", 0, 0 },
	{ "a@" D255, 0, 0 },
	{ A64 "@" D255, 0, 0 },
	{ "a@" A63 ".example", 0, 0 },
	/* too long */
	{ A64 "a@example.org", -E2BIG, -E2BIG },
	{ "a@" A64 ".example", -E2BIG, -E2BIG },
	{ "a@" D255 ".a", -E2BIG, -E2BIG },
	{ A64 "@" D255 "a", -E2BIG, -E2BIG },
	/* no mailbox */
	{ "", -EINVAL, -EINVAL },
	{ "a", -EINVAL, -EINVAL },
	{ "@example.org", -EINVAL, -EINVAL },
	{ "a@", -EINVAL, -EINVAL },
	{ "a@@example.org", -EINVAL, -EINVAL },
	{ "a@b@example.org", -EINVAL, -EINVAL },
	{ ".a@example.org", -EINVAL, -EINVAL },
	{ "a.@example.org", -EINVAL, -EINVAL },
	{ "a..b@example.org", -EINVAL, -EINVAL },
	{ "a@.example.org", -EINVAL, -EINVAL },
	{ "a@example.org.", -EINVAL, -EINVAL },
	{ "a@example..org", -EINVAL, -EINVAL },
	{ "a@-example.org", -EINVAL, -EINVAL },
	{ "a@example-.org", -EINVAL, -EINVAL },
	{ "a@exam_ple.org", -EINVAL, -EINVAL },
	{ "@a.example,@b.example:c@d.example", -EINVAL, -EINVAL },
	{ "a(comment)@example.org", -EINVAL, -EINVAL },
	/* quotes */
	{ "\"\"@example.org", -EINVAL, -EINVAL },
	{ "\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\"b\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\\\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\".b@example.org", -EINVAL, -EINVAL },
	{ "a\"b\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\r\nb\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\\\nb\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\tb\"@example.org", -EINVAL, -EINVAL },
	{ "\"a>b\"@example.org", -EINVAL, -EINVAL },
	{ "\"a\\<b\"@example.org", -EINVAL, -EINVAL },
	/* what could end a command */
	{ "a b@example.org", -EINVAL, -EINVAL },
	{ " a@example.org", -EINVAL, -EINVAL },
	{ "a@example.org ", -EINVAL, -EINVAL },
	{ "a@exam ple.org", -EINVAL, -EINVAL },
	{ "<a@example.org>", -EINVAL, -EINVAL },
	{ "a@example.org>", -EINVAL, -EINVAL },
	{ "a@example.org\r\nDATA", -EINVAL, -EINVAL },
	{ "a\n@example.org", -EINVAL, -EINVAL },
	{ "a@example.org\n", -EINVAL, -EINVAL },
	{ "a\x7f@example.org", -EINVAL, -EINVAL },
	{ "postmaster\n", -EINVAL, -EINVAL },
	/* literals */
	{ "a@[]", -EINVAL, -EINVAL },
	{ "a@[192.0.2]", -EINVAL, -EINVAL },
	{ "a@[192.0.2.256]", -EINVAL, -EINVAL },
	{ "a@[192.0.2.1", -EINVAL, -EINVAL },
	{ "a@192.0.2.1]", -EINVAL, -EINVAL },
	{ "a@[192.0.2.1]x", -EINVAL, -EINVAL },
	{ "a@[2001:db8::1]", -EINVAL, -EINVAL },
	{ "a@[IPv6:2001:db8::g]", -EINVAL, -EINVAL },
	{ "a@[IPv6:fe80::1%eth0]", -EINVAL, -EINVAL },
	{ "a@[IPv6:]", -EINVAL, -EINVAL },
	{ "a@[tag:content]", -EINVAL, -EINVAL },
	/* UTF-8 */
	{ "j\xc3\xbcrgen@example.org", -EINVAL, 0 },
	{ "\"j \xc3\xbc\"@example.org", -EINVAL, 0 },
	{ "a@b\xc3\xbc"
	  "cher.example",
	    -EINVAL, 0 },
	{ "\xe7\x94\xa8@\xe4\xbe\x8b\xe5\xad\x90.example", -EINVAL, 0 },
	{ "j\xfcrgen@example.org", -EINVAL, -EINVAL },       /* Latin-1 */
	{ "a\xc0\xaf@example.org", -EINVAL, -EINVAL },       /* overlong */
	{ "a\xed\xa0\x80@example.org", -EINVAL, -EINVAL },   /* surrogate */
	{ "a\xc3@example.org", -EINVAL, -EINVAL },           /* cut short */
	{ "a\xc2\x85@example.org", -EINVAL, -EINVAL },       /* NEL, a C1 control */
	{ "a\xe2\x80\xa8@example.org", -EINVAL, -EINVAL },   /* line separator */
	{ "\"a\\\xc3\xbc\"@example.org", -EINVAL, -EINVAL }, /* escapes are for ASCII */
	{ "a@b\xef\xbc\xa0.example", -EINVAL, -EINVAL },     /* U+FF20 maps to '@' */
	{ "a@b\xef\xbc\x9e.example", -EINVAL, -EINVAL },     /* U+FF1E maps to '>' */
	{ "a@\xe2\x84\x80.example", -EINVAL, -EINVAL },      /* U+2100 maps to "a/c" */
	{ "a@-\xc3\xbc.example", -EINVAL, -EINVAL },         /* leading hyphen */
	{ "a@[\xc3\xbc]", -EINVAL, -EINVAL },
};

START_TEST(address_check)
{
	struct pn_slice text = pn_slice_of(checked[_i].text);
	char ret[MAIL_ADDRESS_SIZE] = "untouched";

	ck_assert_int_eq(mail_address_check(text, false, ret), checked[_i].ascii);
	ck_assert_str_eq(ret, checked[_i].ascii < 0 ? "untouched" : checked[_i].text);
	ck_assert_int_eq(mail_address_check(text, true, ret), checked[_i].utf8);
	ck_assert_str_eq(ret, checked[_i].utf8 < 0 ? "untouched" : checked[_i].text);
}
END_TEST

/* No single byte beside atext, '.', '@', and what is 8-bit, passes in an unquoted address. */
START_TEST(address_any_byte)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "!#$%&'*+-/=?^_`{|}~.";
	char text[] = "a?b@example.org", ret[MAIL_ADDRESS_SIZE];

	text[1] = (char)_i;
	ck_assert_int_eq(mail_address_check(pn_slice(text, sizeof(text) - 1), true, ret),
	    _i > 0 && strchr(good, _i) ? 0 : -EINVAL);
	memcpy(text, "ab@e?ample.org", sizeof("ab@e?ample.org"));
	text[4] = (char)_i;
	ck_assert_int_eq(mail_address_check(pn_slice(text, strlen("ab@e?ample.org")), true, ret),
	    _i > 0 && (strchr("-.", _i) || (_i < 128 && strchr(good, _i) && !strchr(good + 62, _i)))
		? 0
		: -EINVAL);
}
END_TEST

static const struct {
	const char *given, *canonical;
	int want;
} canonical[] = {
	{ "", "", 0 },
	{ "Bob@EXAMPLE.Org", "Bob@example.org", 0 },
	{ "POSTMASTER", "postmaster", 0 },
	{ "\"A @b\"@X.example", "\"A @b\"@x.example", 0 },
	/* RFC 5321 section 4.1.2: quotes and escapes that are not needed */
	{ "\"a.d\\a\"@X.example", "a.da@x.example", 0 },
	{ "\"a..b\"@x.example", "\"a..b\"@x.example", 0 },
	{ "\"\\a \\\" \\\\\"@x.example", "\"a \\\" \\\\\"@x.example", 0 },
	{ "a@B\xc3\x9c"
	  "cher.example",
	    "a@xn--bcher-kva.example", 0 },
	{ "a@XN--bcher-KVA.example", "a@xn--bcher-kva.example", 0 },
	{ "J\xc3\x9c@bu\xcc\x88"
	  "cher.example",
	    "J\xc3\x9c@xn--bcher-kva.example", 0 }, /* decomposed */
	{ "a@\xe4\xbe\x8b\xe5\xad\x90\xe3\x80\x82test", "a@xn--fsqu00a.test", 0 },
	{ "a@stra\xc3\x9f"
	  "e.example",
	    "a@xn--strae-oqa.example", 0 },
	{ "a@[192.0.2.1]", "a@[192.0.2.1]", 0 },
	{ "a@[IPv6:2001:DB8:0:0::1]", "a@[ipv6:2001:db8::1]", 0 },
	{ "nobody", NULL, -EINVAL },
	{ "a@b c", NULL, -EINVAL },
	{ A64 "a@b", NULL, -E2BIG },
};

START_TEST(address_canonical)
{
	char ret[MAIL_ADDRESS_SIZE];

	ck_assert_int_eq(mail_address_canonical(canonical[_i].given, ret), canonical[_i].want);
	if (canonical[_i].canonical)
		ck_assert_str_eq(ret, canonical[_i].canonical);
}
END_TEST

START_TEST(domain_alone)
{
	char ret[MAIL_DOMAIN_MOST + 1];

	ck_assert_int_eq(mail_domain_canonical("Example.ORG", ret), 0);
	ck_assert_str_eq(ret, "example.org");
	ck_assert_int_eq(mail_domain_canonical("\xc3\xbc.example", ret), 0);
	ck_assert_str_eq(ret, "xn--tda.example");
	ck_assert_int_eq(mail_domain_canonical("", ret), -EINVAL);
	ck_assert_int_eq(mail_domain_canonical("a@b", ret), -EINVAL);
	ck_assert_int_eq(mail_domain_canonical("\xff.example", ret), -EINVAL);
	ck_assert_str_eq(mail_address_domain("\"a@b\"@c.example"), "c.example");
	ck_assert_str_eq(mail_address_domain("postmaster"), "");
	ck_assert(mail_address_is_utf8("\xc3\xbc@example.org"));
	ck_assert(!mail_address_is_utf8("a@example.org"));
}
END_TEST

/* ---- envelope ------------------------------------------------------------------------------- */

START_TEST(envelope_find)
{
	struct arena arena = { 0 };
	struct mail_envelope envelope = { .sender = "" };
	static const struct {
		const char *address;
		int want;
	} cases[] = {
		{ "bob@example.org", 0 },
		{ "bob@EXAMPLE.org", 0 },
		{ "Bob@example.org", -ENOENT },
		{ "bob@example.net", -ENOENT },
		{ "postMASTER", 1 },
		{ "x@b\xc3\xbc"
		  "cher.example",
		    2 },
		{ "y@[IPv6:2001:DB8::0:1]", 3 },
		{ "y@[IPv6:2001:db8::2]", -ENOENT },
		{ "", -ENOENT },
	};

	mail_envelope_add(&envelope, &arena, "bob@example.org");
	mail_envelope_add(&envelope, &arena, "Postmaster");
	mail_envelope_add(&envelope, &arena, "x@xn--bcher-kva.example");
	mail_envelope_add(&envelope, &arena, "y@[IPv6:2001:db8::1]");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_int_eq(mail_envelope_find(&envelope, cases[i].address), cases[i].want);
	arena_free(&arena);
}
END_TEST

START_TEST(envelope_grows_and_shrinks)
{
	struct arena arena = { 0 };
	struct mail_envelope envelope = { .sender = "" };
	char address[32];

	for (int i = 0; i < 100; i++) {
		snprintf(address, sizeof(address), "u%d@example.org", i);
		mail_envelope_add(&envelope, &arena, address)->notify = (uint32_t)i;
	}
	ck_assert_uint_eq(envelope.count, 100);
	ck_assert_ptr_eq(envelope.recipients[7].original, envelope.recipients[7].address);
	mail_envelope_remove(&envelope, 0);
	mail_envelope_remove(&envelope, 98);
	ck_assert_uint_eq(envelope.count, 98);
	ck_assert_str_eq(envelope.recipients[0].address, "u1@example.org");
	ck_assert_uint_eq(envelope.recipients[97].notify, 98);
	arena_free(&arena);
}
END_TEST

START_TEST(envelope_copies)
{
	struct arena arena = { 0 }, other = { 0 };
	struct mail_envelope from = { .envid = "id+2B", .ret = MAIL_RET_HDRS }, to;
	struct mail_recipient *one;

	from.sender = from.original_sender = arena_text(&arena, "a@example.org");
	one = mail_envelope_add(&from, &arena, "b@example.org");
	one->address = arena_text(&arena, "c@example.org");
	one->orcpt = "rfc822;b@example.org";
	one->notify = MAIL_NOTIFY_DELAY;
	mail_envelope_add(&from, &arena, "d@example.org");
	mail_envelope_copy(&to, &from, &other);
	arena_wipe(&arena);
	ck_assert_str_eq(to.sender, "a@example.org");
	ck_assert_ptr_eq(to.original_sender, to.sender);
	ck_assert_str_eq(to.envid, "id+2B");
	ck_assert_ptr_null(to.auth);
	ck_assert_int_eq(to.ret, MAIL_RET_HDRS);
	ck_assert_uint_eq(to.count, 2);
	ck_assert_str_eq(to.recipients[0].address, "c@example.org");
	ck_assert_str_eq(to.recipients[0].original, "b@example.org");
	ck_assert_str_eq(to.recipients[0].orcpt, "rfc822;b@example.org");
	ck_assert_uint_eq(to.recipients[0].notify, MAIL_NOTIFY_DELAY);
	ck_assert_ptr_eq(to.recipients[1].original, to.recipients[1].address);
	mail_envelope_add(&to, &other, "e@example.org");
	ck_assert_str_eq(to.recipients[2].address, "e@example.org");
	arena_free(&other);
}
END_TEST

/* ---- facts ---------------------------------------------------------------------------------- */

static const struct {
	bool esmtp, utf8, tls, auth;
	const char *want;
} protocols[] = {
	{ false, false, false, false, "SMTP" },
	{ false, false, true, false, "SMTP" },
	{ true, false, false, false, "ESMTP" },
	{ true, false, false, true, "ESMTPA" },
	{ true, false, true, false, "ESMTPS" },
	{ true, false, true, true, "ESMTPSA" },
	{ true, true, false, false, "UTF8SMTP" },
	{ true, true, false, true, "UTF8SMTPA" },
	{ true, true, true, false, "UTF8SMTPS" },
	{ true, true, true, true, "UTF8SMTPSA" },
};

START_TEST(facts_protocol)
{
	struct mail_facts facts = { .esmtp = protocols[_i].esmtp,
		.smtputf8 = protocols[_i].utf8,
		.tls_version = protocols[_i].tls ? "TLSv1.3" : NULL,
		.user = protocols[_i].auth ? "a@example.org" : NULL };

	ck_assert_str_eq(mail_facts_protocol(&facts), protocols[_i].want);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

/* ---- addresses in headers -------------------------------------------------------------------- */

static const struct {
	const char *value, *addresses;
	bool clear;
} lists[] = {
	{ " a@example.org", "a@example.org", true },
	{ " A B <a@Example.ORG>, b@example.org,\r\n\tc@example.org",
	    "a@example.org b@example.org c@example.org", true },
	{ "\"x, y@example.org\" <a@example.org>", "a@example.org", true },
	{ "(see b@example.org, <c@example.org>) a@example.org (d@example.org)", "a@example.org",
	    true },
	{ "Group: a@example.org, B <b@example.org>;, c@example.org",
	    "a@example.org b@example.org c@example.org", true },
	{ "undisclosed-recipients:;", "", true },
	{ "\"a b\"@example.org, c@[IPv6:::1]", "\"a b\"@example.org c@[ipv6:::1]", true },
	{ "< a@example.org >", "a@example.org", true },
	{ "=?utf-8?q?Ad=C3=A8le?= <a@example.org> (x)", "a@example.org", true },
	{ "[Team] A <a@example.org>,,", "a@example.org", true },
	{ "A@Example.org <A@example.org>", "A@example.org", true },
	{ "\"b@example.org\" <a@\xc3\xbc.example>", "a@xn--tda.example", true },
	{ "", "", true },
	{ " \r\n\t", "", true },
	/* what a reader may not see so is not named */
	{ "a(x)@example.org", "", false },
	{ "<a(x)@example.org>", "", false },
	{ "a b@example.org", "", false },
	{ "<a@example.org", "", false },
	{ "<@r.example:a@example.org>", "", false },
	{ "=?utf-8?q?a=40example.org?=", "", false },
	{ "(never closed a@example.org", "", false },
	{ "a@example.org (never closed\\", "a@example.org", false },
	{ "\"never closed, a@example.org", "", false },
	{ "A, B <b@example.org>", "b@example.org", false },
	{ "<>", "", false },
	/* what is named may not be all that a reader sees */
	{ "a@example.org <b@example.org>", "b@example.org", false },
	{ "a@example.org <b@example.org> <c@example.org>", "b@example.org", false },
	{ "a@example.org, <c@example.org> <b@example.org>", "a@example.org c@example.org", false },
	{ "<a@example.org> b@example.org", "a@example.org", false },
	{ "<a@example.org> \"b@example.org\"", "a@example.org", false },
	{ "a@example.org (x) <b@example.org>", "b@example.org", false },
	{ "a@x.example b@x.example <b@x.example>", "b@x.example", false },
	{ "A \\<b@example.org\\> <a@example.org>", "", false },
	{ "A > <a@example.org>", "a@example.org", false },
	{ "<a@example.org(.evil.example)>", "a@example.org", false },
	{ "<a@example.org>;<b@example.org>", "a@example.org b@example.org", false },
	{ "G: a@example.org", "a@example.org", false },
	{ "G: H: a@example.org;", "a@example.org", false },
	{ "G: a@example.org; b@example.org", "a@example.org b@example.org", false },
	{ "G: a@example.org; <b@example.org>", "a@example.org b@example.org", false },
	{ "a@example.org: b@example.org;", "b@example.org", false },
	{ "<a@example.org>: b@example.org;", "b@example.org", false },
	{ "[Team] A [b] <a@example.org>", "a@example.org", true },
	{ "A [ <b@example.org> ] <a@example.org>", "a@example.org", false },
	{ "A [b@example.org] <a@example.org>", "a@example.org", false },
	{ "[ \\] <b@example.org> ] <a@example.org>", "a@example.org", false },
	{ "[b, c] <a@example.org>", "a@example.org", false },
	{ "[b; c] <a@example.org>", "a@example.org", false },
	{ "[b: c] <a@example.org>", "a@example.org", false },
	{ "[\"b] <a@example.org>", "a@example.org", false },
	{ "[(b] <a@example.org>", "a@example.org", false },
	{ "[b> <a@example.org>] <a@example.org>", "a@example.org", false },
	{ "<a@example.org>, [b@example.org] C <c@example.org>", "a@example.org c@example.org",
	    false },
	{ "=?utf-8?q?b=40bank.example=00?=@example.org",
	    "=?utf-8?q?b=40bank.example=00?=@example.org", false },
	{ "A <\"=?utf-8?q?b?=\"@example.org>", "=?utf-8?q?b?=@example.org", false },
	{ "A\001 <a@example.org>", "a@example.org", false },
	{ "(A\001) <a@example.org>", "a@example.org", false },
	{ "(A\\\001) <a@example.org>", "a@example.org", false },
	{ "a@example.org (\177)", "a@example.org", false },
	{ "\"A\177\" <a@example.org>", "a@example.org", false },
};

static void
join(void *arg, const char *address)
{
	char *text = arg;

	if (*text)
		strcat(text, " ");
	strcat(text, address);
}

START_TEST(address_lists)
{
	char text[400] = "";

	ck_assert_int_eq(mail_address_list(pn_slice_of(lists[_i].value), join, text),
	    lists[_i].clear ? 0 : -EBADMSG);
	ck_assert_str_eq(text, lists[_i].addresses);
}
END_TEST

START_TEST(address_list_with_nul)
{
	static const char *const values[] = { "a@example.org\0", "A\0 <a@example.org>",
		"\"A\0\" <a@example.org>", "\0", "a@example.org (\0)" };
	static const size_t sizes[] = { 14, 19, 21, 1, 17 };
	char text[400] = "";

	ck_assert_int_eq(mail_address_list(pn_slice(values[_i], sizes[_i]), join, text), -EBADMSG);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mail_address");
	TCase *tcase = tcase_create("all");

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, address_lists, 0, (int)(sizeof(lists) / sizeof(*lists)));
	tcase_add_loop_test(tcase, address_list_with_nul, 0, 5);
	tcase_add_loop_test(tcase, address_check, 0, COUNT(checked));
	tcase_add_loop_test(tcase, address_any_byte, 0, 256);
	tcase_add_loop_test(tcase, address_canonical, 0, COUNT(canonical));
	tcase_add_test(tcase, domain_alone);
	tcase_add_test(tcase, envelope_find);
	tcase_add_test(tcase, envelope_grows_and_shrinks);
	tcase_add_test(tcase, envelope_copies);
	tcase_add_loop_test(tcase, facts_protocol, 0, COUNT(protocols));
	return unit_run(suite);
}
