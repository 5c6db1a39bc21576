/* SPDX-License-Identifier: Apache-2.0 */
/* net_mx.c - unit tests of mail exchangers: records as they come, and which hosts are tried. */
#include "run.h"
#include <core/net/mx.h>
#include <errno.h>
#include <glib.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- records --------------------------------------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t len;
	const char *name; /* NULL: not to be read */
} records[] = {
	{ "\0\012\2mx\7example\0", 14, "mx.example" },
	{ "\0\012\2MX\7ExAmple\0", 14, "mx.example" },
	{ "\0\0\0", 3, "" }, /* RFC 7505 */
	{ "\377\377\4_a-9\0", 8, "_a-9" },
	{ "\0\012\2mx\7example\0x", 15, NULL },
	{ "\0\012\2mx\7example", 13, NULL },
	{ "\0\012\2mx\7examp", 11, NULL },
	{ "\0\012\2m.\0", 6, NULL },
	{ "\0\012\2m\r\0", 6, NULL },
	{ "\0\012\300\014", 4, NULL },
	{ "\0\012", 2, NULL },
	{ "", 0, NULL },
};

START_TEST(record)
{
	char name[DNS_NAME_SIZE];
	uint16_t preference = 1;
	bool read = mx_read_record(pn_slice(records[_i].bytes, records[_i].len), &preference, name);

	ck_assert_int_eq(read, records[_i].name != NULL);
	if (!read)
		return;
	ck_assert_str_eq(name, records[_i].name);
	ck_assert_uint_eq(preference,
	    (unsigned)(uint8_t)records[_i].bytes[0] * 256 + (uint8_t)records[_i].bytes[1]);
}
END_TEST

/* RFC 1035 section 2.3.4: 255 octets on the wire, which are 253 as text. */
START_TEST(record_of_any_length)
{
	char bytes[400] = { 0 }, name[DNS_NAME_SIZE];
	uint16_t preference;

	for (size_t labels = 1; labels < 190; labels++) {
		bool read;

		bytes[2 + 2 * (labels - 1)] = 1;
		bytes[2 + 2 * (labels - 1) + 1] = 'a';
		read = mx_read_record(pn_slice(bytes, 2 + 2 * labels + 1), &preference, name);

		ck_assert_int_eq(read, 2 * labels - 1 <= 253);
		if (read)
			ck_assert_uint_eq(strlen(name), 2 * labels - 1);
	}
}
END_TEST

/* ---- TLSA ------------------------------------------------------------------------------------ */

#define DIGEST "0123456789abcdef0123456789abcdef"

/* RFC 7672 section 3.1: the certificate's and the key's usages alone, and what OpenSSL can match.
 */
static const struct {
	const char *bytes;
	size_t len;
	bool good;
} tlsas[] = {
	{ "\3\1\1" DIGEST, 35, true },
	{ "\2\0\1" DIGEST, 35, true },
	{ "\3\0\2" DIGEST DIGEST, 67, true },
	{ "\3\1\2" DIGEST, 35, false },
	{ "\3\1\1" DIGEST "x", 36, false },
	{ "\3\1\1" DIGEST, 34, false },
	{ "\0\1\1" DIGEST, 35, false },
	{ "\1\1\1" DIGEST, 35, false },
	{ "\4\1\1" DIGEST, 35, false },
	{ "\377\1\1" DIGEST, 35, false },
	{ "\3\2\1" DIGEST, 35, false },
	{ "\3\1\3" DIGEST, 35, false },
	{ "\3\1\0" DIGEST, 35, false }, /* no key */
	{ "\3\0\0" DIGEST, 35, false },
	{ "\3\1\1", 3, false },
	{ "", 0, false },
};

START_TEST(tlsa)
{
	struct tlsa read;

	ck_assert_int_eq(
	    tlsa_read(pn_slice(tlsas[_i].bytes, tlsas[_i].len), &read), tlsas[_i].good);
	if (tlsas[_i].good)
		ck_assert_uint_eq(read.data.len, tlsas[_i].len - 3);
}
END_TEST

/* Connections are shared by who demands the same, in whatever order the records came. */
START_TEST(keys_of_terms)
{
	struct arena arena = { 0 };
	struct tlsa one[2], two[2];
	struct hop_terms a = {
		.encrypted = true, .tlsa_count = 2, .tlsa = one, .base = "mx.a", .domain = "a"
	};
	struct hop_terms b = {
		.encrypted = true, .tlsa_count = 2, .tlsa = two, .base = "mx.a", .domain = "b"
	};
	const struct hop_terms none = { 0 }, sts = { .sts = true },
			       unnamed = { .sts = true, .unnamed = true };

	ck_assert(tlsa_read(pn_slice(tlsas[0].bytes, 35), &one[0]));
	ck_assert(tlsa_read(pn_slice(tlsas[2].bytes, 67), &one[1]));
	two[0] = one[1];
	two[1] = one[0];
	b = hop_terms_copy(&b, &arena);
	ck_assert_str_eq(hop_terms_key(&a, &arena), hop_terms_key(&b, &arena));
	one[0].usage = 2;
	ck_assert_str_ne(hop_terms_key(&a, &arena), hop_terms_key(&b, &arena));
	b.tlsa[1].usage = 2; /* whose authority it is makes a difference */
	ck_assert_str_ne(hop_terms_key(&a, &arena), hop_terms_key(&b, &arena));
	b.domain = "a";
	ck_assert_str_eq(hop_terms_key(&a, &arena), hop_terms_key(&b, &arena));
	ck_assert_str_eq(hop_terms_key(&none, &arena), "");
	ck_assert_str_eq(hop_terms_key(&sts, &arena), " sts");
	ck_assert_str_eq(hop_terms_key(&unnamed, &arena), " sts unnamed");
	ck_assert(!hop_terms_are_any(&none) && hop_terms_are_any(&sts));
	arena_free(&arena);
}
END_TEST

/* ---- judging --------------------------------------------------------------------------------- */

struct spec {
	const char *name;
	uint16_t preference;
	const char *addresses[3];
	const char *why;
	enum mx_fate fate;
};

static const struct {
	const char *about;
	bool implicit;
	struct spec hosts[4];
	const char *refusal; /* how it begins; NULL: there is somebody to try */
} cases[] = {
	{ "all", false,
	    { { "a", 10, { "203.0.113.1" }, NULL, MX_TRIED },
		{ "b", 20, { "2001:db8::1", "203.0.113.2" }, NULL, MX_TRIED } },
	    NULL },
	{ "own name: it and what is no better go (RFC 5321 section 5.1)", false,
	    { { "a", 10, { "203.0.113.1" }, NULL, MX_TRIED },
		{ "relay.example", 20, { "203.0.113.9" }, NULL, MX_OURSELVES },
		{ "c", 20, { "203.0.113.3" }, NULL, MX_WORSE },
		{ "d", 30, { "203.0.113.4" }, NULL, MX_WORSE } },
	    NULL },
	{ "own name first: a loop", false,
	    { { "relay.example", 5, { "203.0.113.9" }, NULL, MX_OURSELVES },
		{ "c", 20, { "203.0.113.3" }, NULL, MX_WORSE } },
	    "554 5.4.6 " },
	{ "own address", false,
	    { { "a", 10, { "203.0.113.1" }, NULL, MX_TRIED },
		{ "b", 20, { "203.0.113.77" }, NULL, MX_OURSELVES } },
	    NULL },
	{ "this machine, where a listener has every address", false,
	    { { "a", 10, { "0.0.0.0" }, NULL, MX_OURSELVES },
		{ "b", 10, { "127.0.0.1" }, NULL, MX_OURSELVES } },
	    "554 5.4.6 " },
	{ "no address", false,
	    { { "a", 10, { NULL }, NULL, MX_NOWHERE },
		{ "b", 20, { "203.0.113.1" }, NULL, MX_TRIED } },
	    NULL },
	{ "no address anywhere", false, { { "a", 10, { NULL }, NULL, MX_NOWHERE } }, "550 5.4.4 " },
	{ "no MX, no address", true, { { "a", 0, { NULL }, NULL, MX_NOWHERE } }, "550 5.1.2 " },
	{ "refused addresses", false,
	    { { "a", 10, { "198.51.100.1", "203.0.113.1" }, NULL, MX_TRIED },
		{ "b", 10, { "198.51.100.1" }, NULL, MX_REFUSED } },
	    NULL },
	{ "refused addresses only", false, { { "a", 10, { "198.51.100.1" }, NULL, MX_REFUSED } },
	    "550 5.4.4 " },
	{ "no answer for the best", false,
	    { { "a", 10, { NULL }, "no answer in time", MX_UNKNOWN },
		{ "b", 20, { "203.0.113.1" }, NULL, MX_TRIED } },
	    NULL },
	{ "no answer for any", false,
	    { { "a", 10, { NULL }, "no answer in time", MX_UNKNOWN },
		{ "b", 20, { NULL }, NULL, MX_NOWHERE } },
	    "451 4.4.3 a: no answer in time" },
	{ "no answer for the only one before us", false,
	    { { "a", 10, { NULL }, "DNSSEC: bogus", MX_UNKNOWN },
		{ "relay.example", 20, { "203.0.113.9" }, NULL, MX_OURSELVES } },
	    "451 4.4.3 a: DNSSEC: bogus" },
	{ "no answer for one behind us", false,
	    { { "relay.example", 10, { "203.0.113.9" }, NULL, MX_OURSELVES },
		{ "b", 20, { NULL }, "no answer in time", MX_WORSE } },
	    "554 5.4.6 " },
	{ "one family answers", false,
	    { { "a", 10, { "203.0.113.1" }, "no answer in time", MX_TRIED } }, NULL },
};

static void
fill(struct mx_host *host, const struct spec *spec)
{
	g_strlcpy(host->name, spec->name, sizeof(host->name));
	host->preference = spec->preference;
	if (spec->why)
		g_strlcpy(host->why, spec->why, sizeof(host->why));
	for (; host->count < 3 && spec->addresses[host->count]; host->count++)
		ck_assert_int_eq(address_parse(spec->addresses[host->count], 0,
				     &host->addresses[host->count], NULL),
		    0);
}

START_TEST(judgement)
{
	struct mx_list *list = g_new0(struct mx_list, 1);
	struct address listeners[2];
	struct network refused[1];
	struct mx_policy policy = { .own_name = "relay.example",
		.port = 25,
		.listener_count = 2,
		.listeners = listeners,
		.refused_count = 1,
		.refused = refused };

	ck_assert_int_eq(address_parse("203.0.113.77:25", 0, &listeners[0], NULL), 0);
	ck_assert_int_eq(address_parse("*:25", 0, &listeners[1], NULL), 0);
	ck_assert_int_eq(network_parse("198.51.100.0/24", &refused[0], NULL), 0);
	list->implicit = cases[_i].implicit;
	list->hosts = g_new0(struct mx_host, 4);
	while (list->count < 4 && cases[_i].hosts[list->count].name) {
		fill(&list->hosts[list->count], &cases[_i].hosts[list->count]);
		list->count++;
	}
	mx_judge(list, &policy);
	for (size_t i = 0; i < list->count; i++)
		ck_assert_msg(list->hosts[i].fate == cases[_i].hosts[i].fate, "%s: %s is \"%s\"",
		    cases[_i].about, list->hosts[i].name, mx_fate_text(list->hosts[i].fate));
	if (cases[_i].refusal)
		ck_assert_msg(list->refusal && strncmp(list->refusal, cases[_i].refusal,
						   strlen(cases[_i].refusal)) == 0,
		    "%s: %s", cases[_i].about, list->refusal);
	else
		ck_assert_msg(!list->refusal, "%s: %s", cases[_i].about, list->refusal);
	mx_list_free(&list);
}
END_TEST

/* Another port is another server: mail may go there, be it on this machine. */
START_TEST(another_port)
{
	struct mx_list list = { .count = 1 };
	struct mx_host host = { .name = "a", .count = 1 };
	struct address listener;
	struct mx_policy policy = { .port = 25, .listener_count = 1, .listeners = &listener };

	list.hosts = &host;
	ck_assert_int_eq(address_parse("*:587", 0, &listener, NULL), 0);
	ck_assert_int_eq(address_parse("127.0.0.1", 0, &host.addresses[0], NULL), 0);
	mx_judge(&list, &policy);
	ck_assert_int_eq(host.fate, MX_TRIED);
}
END_TEST

/* ---- literals -------------------------------------------------------------------------------- */

static struct loop *loop;
static struct mx_list *found;

static void
on_found(void *arg, struct mx_list *list)
{
	found = list;
	loop_stop(arg);
}

static const struct {
	const char *domain, *address;
} literals[] = {
	{ "[203.0.113.1]", "203.0.113.1" },
	{ "[ipv6:2001:db8::1]", "2001:db8::1" },
};

START_TEST(literal)
{
	struct mx_policy policy = { .port = 25 };
	struct mx_search *search;
	char text[ADDRESS_TEXT];

	ck_assert_int_eq(loop_new(&loop, NULL), 0);
	search = mx_search_start(NULL, loop, literals[_i].domain, 25, on_found, loop);
	mx_search_cancel(&search);
	search = mx_search_start(NULL, loop, literals[_i].domain, 25, on_found, loop);
	ck_assert_ptr_nonnull(search);
	loop_run(loop);
	mx_judge(found, &policy);
	ck_assert_ptr_null(found->refusal);
	ck_assert_uint_eq(found->count, 1);
	ck_assert_uint_eq(found->hosts->count, 1);
	address_host(&found->hosts->addresses[0], text);
	ck_assert_str_eq(text, literals[_i].address);
	mx_list_free(&found);
	loop_free(&loop);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_mx");
	TCase *tcase = tcase_create("mx");

	tcase_add_loop_test(tcase, tlsa, 0, COUNT(tlsas));
	tcase_add_test(tcase, keys_of_terms);
	tcase_add_loop_test(tcase, record, 0, COUNT(records));
	tcase_add_test(tcase, record_of_any_length);
	tcase_add_loop_test(tcase, judgement, 0, COUNT(cases));
	tcase_add_test(tcase, another_port);
	tcase_add_loop_test(tcase, literal, 0, COUNT(literals));
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
