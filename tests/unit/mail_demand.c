/* SPDX-License-Identifier: Apache-2.0 */
/* mail_demand.c - unit tests of demands on TLS: added up, judged, pins. */
#include "run.h"
#include <check.h>
#include <core/mail/plan.h>
#include <errno.h>
#include <string.h>

#define KEY   "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define KEY64 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define OTHER "ff02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"

static unsigned char key[MAIL_DIGEST_SIZE], certificate[MAIL_DIGEST_SIZE];

#define HAS(b, l, v) \
	{ \
		.bits = b, .level = l, .version = v, .cipher = "C1" \
	}
#define ALL \
	{ \
		.bits = 256, .level = PN_TLS_NAME, .version = PN_TLS_1_3, .cipher = "C1" \
	}
#define FOR_GOOD "503 5.7.0 "
#define LATER    "403 4.7.0 "

/* S4-09, S4-10, S4-11: what there is, what is demanded, the reply. */
static const struct {
	struct mail_shown shown;
	struct mail_demand demand;
	const char *reply;
} judgements[] = {
	{ HAS(0, 0, 0), { .bits = 0 }, NULL },
	{ HAS(0, 0, 0), { .bits = 112 }, FOR_GOOD "encryption too weak 0 less than 112" },
	{ HAS(56, 1, 0x301), { .bits = 112 }, FOR_GOOD "encryption too weak 56 less than 112" },
	{ HAS(112, 1, PN_TLS_1_2), { .bits = 112 }, NULL },
	{ HAS(128, 1, PN_TLS_1_2), { .bits = 112 }, NULL },
	{ HAS(128, 1, PN_TLS_1_2), { .bits = 128 }, NULL },
	{ HAS(112, 1, PN_TLS_1_2), { .bits = 128 },
	    FOR_GOOD "encryption too weak 112 less than 128" },
	{ HAS(128, 1, PN_TLS_1_3), { .bits = 256 },
	    FOR_GOOD "encryption too weak 128 less than 256" },
	{ HAS(128, 1, PN_TLS_1_3), { .bits = 256, .waits = true },
	    LATER "encryption too weak 128 less than 256" },
	{ HAS(256, 1, PN_TLS_1_3), { .bits = 256 }, NULL },
	{ HAS(0, 0, 0), { .level = PN_TLS_ENCRYPTED },
	    FOR_GOOD "encryption demanded and not offered" },
	{ HAS(0, 0, 0), { .level = PN_TLS_DANE }, FOR_GOOD "encryption demanded and not offered" },
	{ HAS(256, 1, PN_TLS_1_3), { .level = PN_TLS_TRUSTED },
	    FOR_GOOD "certificate not trusted" },
	{ HAS(256, 1, PN_TLS_1_3), { .level = PN_TLS_NAME }, FOR_GOOD "certificate not trusted" },
	{ HAS(256, 2, PN_TLS_1_3), { .level = PN_TLS_NAME },
	    FOR_GOOD "certificate not valid for mx" },
	{ HAS(256, 3, PN_TLS_1_3), { .level = PN_TLS_NAME }, NULL },
	{ HAS(256, 2, PN_TLS_1_3), { .level = PN_TLS_STS },
	    FOR_GOOD "certificate not valid for mx" },
	{ HAS(256, 3, PN_TLS_1_3), { .level = PN_TLS_STS },
	    FOR_GOOD "mx is not authenticated by MTA-STS or DANE" },
	{ HAS(256, 4, PN_TLS_1_3), { .level = PN_TLS_STS }, NULL },
	{ HAS(256, 5, PN_TLS_1_3), { .level = PN_TLS_STS }, NULL },
	{ HAS(256, 5, PN_TLS_1_3), { .level = PN_TLS_NAME }, NULL },
	{ HAS(256, 4, PN_TLS_1_3), { .level = PN_TLS_DANE, .waits = true },
	    LATER "mx is not authenticated by DANE" },
	{ HAS(256, 5, PN_TLS_1_3), { .level = PN_TLS_DANE }, NULL },
	{ HAS(256, 1, PN_TLS_1_2), { .version = PN_TLS_1_3 },
	    FOR_GOOD "version of TLS too old TLSv1.2 less than TLSv1.3" },
	{ HAS(256, 1, PN_TLS_1_3), { .version = PN_TLS_1_2 }, NULL },
	{ HAS(0, 0, 0), { .version = PN_TLS_1_2 }, FOR_GOOD "encryption demanded and not offered" },
	{ ALL, { .ciphers = "C2 C1" }, NULL },
	{ ALL, { .ciphers = "C2 C1;C1" }, NULL },
	{ ALL, { .ciphers = "C2 C1;C2" }, FOR_GOOD "cipher not allowed C1" },
	{ ALL, { .ciphers = "C" }, FOR_GOOD "cipher not allowed C1" },
	{ ALL, { .pins = "key=" KEY }, NULL },
	{ ALL, { .pins = "key=" OTHER " key=" KEY }, NULL },
	{ ALL, { .pins = "cert=" OTHER }, NULL },
	{ ALL, { .pins = "key=" KEY ";cert=" OTHER }, NULL },
	{ ALL, { .pins = "key=" OTHER }, FOR_GOOD "certificate of mx not one of those pinned" },
	{ ALL, { .pins = "cert=" KEY }, FOR_GOOD "certificate of mx not one of those pinned" },
	{ ALL, { .pins = "key=" KEY ";key=" OTHER },
	    FOR_GOOD "certificate of mx not one of those pinned" },
};

START_TEST(judged)
{
	struct arena arena = { 0 };
	struct mail_shown shown = judgements[_i].shown;
	const char *reply;

	for (unsigned char i = 0; i < MAIL_DIGEST_SIZE; i++)
		key[i] = certificate[i] = (unsigned char)(i + 1);
	certificate[0] = 0xff;
	shown.key = key;
	shown.certificate = certificate;
	reply = mail_demand_unmet(&judgements[_i].demand, &shown, "mx", &arena);
	if (judgements[_i].reply)
		ck_assert_str_eq(reply, judgements[_i].reply);
	else
		ck_assert_msg(!reply, "%s", reply);
	arena_free(&arena);
}
END_TEST

START_TEST(nothing_shown_is_not_pinned)
{
	struct arena arena = { 0 };
	const struct mail_shown shown = ALL;
	const struct mail_demand demand = { .pins = "key=" KEY };

	ck_assert_ptr_nonnull(mail_demand_unmet(&demand, &shown, "mx", &arena));
	arena_free(&arena);
}
END_TEST

START_TEST(the_safest_of_each)
{
	struct arena arena = { 0 };
	struct mail_demand sum = { 0 };
	const struct mail_demand one = { .bits = 128,
		.level = PN_TLS_DANE,
		.waits = true,
		.ciphers = "C1 C2",
		.pins = "key=" KEY };
	const struct mail_demand two = {
		.bits = 256, .level = 1, .waits = true, .version = PN_TLS_1_3, .ciphers = "C2"
	};
	const struct mail_demand three = { .pins = "key=" OTHER, .ciphers = "C1 C2" };
	const struct mail_demand none = { 0 };

	mail_demand_add(&sum, &none, &arena);
	ck_assert(!mail_demand_is_any(&sum));
	mail_demand_add(&sum, &one, &arena);
	ck_assert(mail_demand_equal(&sum, &one));
	mail_demand_add(&sum, &none, &arena);
	mail_demand_add(&sum, &two, &arena);
	ck_assert(sum.waits);
	mail_demand_add(&sum, &three, &arena);
	ck_assert(!sum.waits);
	ck_assert_int_eq(sum.bits, 256);
	ck_assert_int_eq(sum.level, PN_TLS_DANE);
	ck_assert_int_eq(sum.version, PN_TLS_1_3);
	ck_assert_str_eq(sum.ciphers, "C1 C2;C2");
	ck_assert_str_eq(sum.pins, "key=" KEY ";key=" OTHER);
	ck_assert(!mail_demand_equal(&sum, &two));
	arena_free(&arena);
}
END_TEST

static const struct {
	const char *text, *pin; /* NULL: none */
} pins[] = {
	{ "sha256/" KEY64, "key=" KEY },
	{ "sha256/" KEY, "key=" KEY },
	{ "cert-sha256/FF:02030405060708090A:0B0c0d0e0f10111213141516171819:1a1b1c1d1e1f20",
	    "cert=" OTHER },
	{ "", NULL },
	{ "sha256/", NULL },
	{ KEY64, NULL },
	{ "sha256/" KEY "00", NULL },
	{ "sha256/:" KEY, NULL },
	{ "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy==", NULL },
	{ "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e!yA=", NULL },
	{ "sha1/" KEY, NULL },
};

START_TEST(pin)
{
	char got[MAIL_PIN_SIZE];

	ck_assert_int_eq(mail_demand_pin(pins[_i].text, got), pins[_i].pin ? 0 : -EINVAL);
	if (pins[_i].pin)
		ck_assert_str_eq(got, pins[_i].pin);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mail_demand");
	TCase *tests = tcase_create("demand");

	tcase_add_loop_test(tests, judged, 0, sizeof(judgements) / sizeof(*judgements));
	tcase_add_test(tests, nothing_shown_is_not_pinned);
	tcase_add_test(tests, the_safest_of_each);
	tcase_add_loop_test(tests, pin, 0, sizeof(pins) / sizeof(*pins));
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
