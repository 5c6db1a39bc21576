/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wkd.c - unit tests of where a Web Key Directory is; asking one is in tests/system/test_pgp.py.
 */
#include "../../modules/pki/wkd.h"
#include "run.h"

/* The first is the draft's own example. */
static const struct {
	enum wkd_method method;
	const char *server, *address, *url; /* NULL: nobody can be asked */
} places[] = {
	{ WKD_ADVANCED, NULL, "Joe.Doe@example.org",
	    "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/"
	    "iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe" },
	{ WKD_DIRECT, NULL, "Joe.Doe@example.org",
	    "https://example.org/.well-known/openpgpkey/hu/"
	    "iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe" },
	{ WKD_ADVANCED, "https://keys.example.net:8443", "joe.doe@example.org",
	    "https://keys.example.net:8443/.well-known/openpgpkey/example.org/hu/"
	    "iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=joe.doe" },
	{ WKD_ADVANCED, NULL, "a&b=c/../@example.org",
	    "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/"
	    "m9mcqzhzd91pi939xrd8xoz9ab34er31?l=a%26b%3Dc%2F..%2F" },
	{ WKD_DIRECT, NULL, "joe@[192.0.2.1]", NULL },
	{ WKD_DIRECT, NULL, "joe@example.org/x", NULL },
	{ WKD_DIRECT, NULL, "joe@", NULL },
	{ WKD_DIRECT, NULL, "@example.org", NULL },
};

START_TEST(places_are_found)
{
	GString *url = g_string_new(NULL);
	bool ok = wkd_url(places[_i].method, places[_i].server, places[_i].address, url);

	ck_assert_int_eq(ok, places[_i].url != NULL);
	if (ok)
		ck_assert_str_eq(url->str, places[_i].url);
	g_string_free(url, TRUE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("wkd");
	TCase *tests = tcase_create("wkd");

	tcase_add_loop_test(tests, places_are_found, 0, sizeof(places) / sizeof(places[0]));
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
