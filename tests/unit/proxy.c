/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - unit tests of the PROXY protocol's header. */
#include <check.h>
#include <core/smtp/proxy.h>
#include <errno.h>
#include <stdlib.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))
#define BYTES(text)  text, sizeof(text) - 1

#define SIGN         "\r\n\r\n\0\r\nQUIT\n"
#define IP4          "\xc0\x00\x02\x07\xc6\x33\x64\x01\x9c\x40\x00\x19"
#define IP6 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
	"\x9c\x40\x00\x19"
#define TEN(text) text text text text text text text text text text
#define NINETY    TEN("123456789")
#define PATHS     TEN("/run/socke") TEN("/run/socke") "/run/socke/run/s" /* 2 * 108 octets */

/* `client` NULL: the connection's own address. */
static const struct {
	const char *bytes;
	size_t len;
	const char *client;
} good[] = {
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"), "192.0.2.7:40000" },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	    "255.255.255.255:65535" },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n"), "192.0.2.7:0" },
	{ BYTES("PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n"), "[2001:db8::7]:40000" },
	{ BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ BYTES("PROXY TCP6 ::ffff:192.0.2.7 ::1 40000 25\r\n"), "192.0.2.7:40000" },
	{ BYTES("PROXY UNKNOWN\r\n"), NULL },
	{ BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 what\r\n"), NULL },
	{ BYTES("PROXY UNKNOWN " NINETY "x\r\n"), NULL }, /* 107 octets */
	{ BYTES(SIGN "\x21\x11\x00\x0c" IP4), "192.0.2.7:40000" },
	{ BYTES(SIGN "\x21\x21\x00\x24" IP6), "[2001:db8::7]:40000" },
	{ BYTES(SIGN "\x21\x11\x00\x13" IP4 "\x04\x00\x04\0\0\0\0"), "192.0.2.7:40000" },
	{ BYTES(SIGN "\x20\x00\x00\x00"), NULL },
	{ BYTES(SIGN "\x20\x11\x00\x0c" IP4), NULL },
	{ BYTES(SIGN "\x20\x99\x00\x01x"), NULL },
	{ BYTES(SIGN "\x21\x00\x00\x00"), NULL },
	{ BYTES(SIGN "\x21\x00\x00\x03xyz"), NULL },
	{ BYTES(SIGN "\x21\x31\x00\xd8" PATHS), NULL },
};

static const struct {
	const char *bytes;
	size_t len;
} bad[] = {
	{ BYTES("EHLO client.example\r\n") },
	{ BYTES("E") },
	{ BYTES("\n") },
	{ BYTES("\r\n\r\n\r\n") },
	{ BYTES("proxy TCP4 192.0.2.7 198.51.100.1 40000 25\r\n") },
	{ BYTES("PROXY\r\n") },
	{ BYTES("PROXY \n") },
	{ BYTES("PROXY \r\n") },
	{ BYTES("PROXY UNKNOWN\n") },
	{ BYTES("PROXY UNKNOWNS\r\n") },
	{ BYTES("PROXY UNKNOWN " NINETY "xy\r\n") }, /* 108 octets */
	{ BYTES("PROXY UNKNOWN " NINETY "xyz") },    /* 107, and no end */
	{ BYTES("PROXY TCP5 192.0.2.7 198.51.100.1 40000 25\r\n") },
	{ BYTES("PROXY TCP4\r\n") },
	{ BYTES("PROXY TCP4 \r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000 \r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 9\r\n") },
	{ BYTES("PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 040 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.256 198.51.100.1 40000 25\r\n") },
	{ BYTES("PROXY TCP4 192.0.2.7\0 198.51.100.1 40000 25\r\n") },
	{ BYTES("PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n") },
	{ BYTES("PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n") },
	{ BYTES(SIGN "\x11\x11\x00\x0c" IP4) }, /* version 1 */
	{ BYTES(SIGN "\x22\x11\x00\x0c" IP4) }, /* no such command */
	{ BYTES(SIGN "\x21\x11\x00\x0b" IP4) }, /* no room for the addresses */
	{ BYTES(SIGN "\x21\x21\x00\x0c" IP4) },
	{ BYTES(SIGN "\x21\x31\x00\xd7" PATHS) },
	{ BYTES(SIGN "\x21\x12\x00\x0c" IP4) }, /* UDP */
	{ BYTES(SIGN "\x21\x41\x00\x0c" IP4) }, /* no such family */
	{ BYTES(SIGN "\x21\x10\x00\x0c" IP4) },
	{ BYTES(SIGN "\x21\x11\x08\x01" IP4) }, /* longer than 2,048 */
	{ BYTES(SIGN "\x20\x00\xff\xff") },
};

/* In memory of exactly this size, so that a sanitizer sees a byte too many. */
static int
parse(const char *bytes, size_t len, struct proxy_header *ret)
{
	char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	r = proxy_parse(pn_slice(copy, len), ret);
	free(copy);
	return r;
}

static void
check_client(const struct proxy_header *header, const char *want)
{
	char text[ADDRESS_TEXT];

	ck_assert_int_eq(header->told, want != NULL);
	if (!want)
		return;
	address_format(&header->client, text);
	ck_assert_str_eq(text, want);
}

START_TEST(header_is_read)
{
	struct proxy_header header;
	char more[256];

	ck_assert_int_eq(parse(good[_i].bytes, good[_i].len, &header), (int)good[_i].len);
	check_client(&header, good[_i].client);
	/* what follows is the client's */
	memcpy(more, good[_i].bytes, good[_i].len);
	memcpy(more + good[_i].len, "EHLO\r\n", 6);
	ck_assert_int_eq(parse(more, good[_i].len + 6, &header), (int)good[_i].len);
	check_client(&header, good[_i].client);
}
END_TEST

START_TEST(header_split_anywhere)
{
	struct proxy_header header = { .told = true };

	for (size_t len = 0; len < good[_i].len; len++)
		ck_assert_int_eq(parse(good[_i].bytes, len, &header), 0);
	ck_assert(header.told); /* not written before it is whole */
}
END_TEST

START_TEST(header_is_refused)
{
	struct proxy_header header;
	int r = 0;

	ck_assert_int_eq(parse(bad[_i].bytes, bad[_i].len, &header), -EINVAL);
	/* once refused it stays so, however it was split */
	for (size_t len = 0; len <= bad[_i].len; len++) {
		int now = parse(bad[_i].bytes, len, &header);

		ck_assert(now == -EINVAL || (now == 0 && r == 0));
		r = now;
	}
}
END_TEST

START_TEST(header_has_limits)
{
	char bytes[PROXY_HEADER_MOST] = SIGN "\x21\x11\x08\x00" IP4;
	struct proxy_header header;

	ck_assert_int_eq(parse(bytes, sizeof(bytes) - 1, &header), 0);
	ck_assert_int_eq(parse(bytes, sizeof(bytes), &header), PROXY_HEADER_MOST);
	check_client(&header, "192.0.2.7:40000");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy");
	TCase *tcase = tcase_create("proxy");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, header_is_read, 0, COUNT(good));
	tcase_add_loop_test(tcase, header_split_anywhere, 0, COUNT(good));
	tcase_add_loop_test(tcase, header_is_refused, 0, COUNT(bad));
	tcase_add_test(tcase, header_has_limits);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
