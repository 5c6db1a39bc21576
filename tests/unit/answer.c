/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - tests of modules/common/answer.c (SPEC E2, S1-08, S1-13). */
#include "../../modules/common/answer.h"
#include "run.h"
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static struct answer_key blue; /* of "the blue house" */

static void
make_blue(void)
{
	ck_assert_int_eq(answer_key_make(pn_slice_of("The Blue House"), &blue), 0);
}

/* ---- who answers right ----------------------------------------------------------------------- */

static const struct {
	const char *answer;
	bool right;
} answers[] = {
	{ "the blue house", true },
	{ "THE BLUE HOUSE", true },
	{ "  the \t blue\xc2\xa0house \r\n", true },
	{ "the\xe2\x80\x83"
	  "blue house",
	    true },
	{ "the blue hou\xe2\x80\x8bse\xe2\x80\x8b", true },
	{ "\xef\xbd\x94\xef\xbd\x88\xef\xbd\x85 blue house", true }, /* full width "the" */
	{ "the bluehouse", false },
	{ "the blue house.", false },
	{ "the blue hous\xc3\xa9", false },
	{ "the blue hous", false },
};

START_TEST(comparing)
{
	uint8_t secret[ANSWER_SECRET_SIZE];
	struct answer_key key;

	ck_assert_int_eq(
	    answer_key_derive(pn_slice_of(answers[_i].answer), blue.salt, &key, secret), 0);
	ck_assert_int_eq(memcmp(&key, &blue, sizeof(key)) == 0, answers[_i].right);
}
END_TEST

/* Two ways to write the same letters; and one that folding takes apart. */
START_TEST(one_spelling)
{
	static const char *const pairs[][2] = {
		{ "caf\xc3\xa9", "CAFE\xcc\x81" },
		{ "stra\xc3\x9f"
		  "e",
		    "STRASSE" },
		{ "a\xe2\x80\x8d\xcc\x88", "\xc3\x84" },
	};
	uint8_t secret[ANSWER_SECRET_SIZE];
	struct answer_key one, other;

	ck_assert_int_eq(answer_key_make(pn_slice_of(pairs[_i][0]), &one), 0);
	ck_assert_int_eq(answer_key_derive(pn_slice_of(pairs[_i][1]), one.salt, &other, secret), 0);
	ck_assert_mem_eq(&one, &other, sizeof(one));
}
END_TEST

/* What is sealed to the stored half opens with the answer and with nothing that is stored. */
START_TEST(sealing)
{
	uint8_t box[4 + crypto_box_SEALBYTES], opened[4], secret[ANSWER_SECRET_SIZE];
	struct answer_key key;

	ck_assert_int_eq(crypto_box_seal(box, (const uint8_t *)"half", 4, blue.public_key), 0);
	answer_key_derive(pn_slice_of("the blue house"), blue.salt, &key, secret);
	ck_assert_int_eq(crypto_box_seal_open(opened, box, sizeof(box), key.public_key, secret), 0);
	ck_assert_mem_eq(opened, "half", 4);
	answer_key_derive(pn_slice_of("the green house"), blue.salt, &key, secret);
	ck_assert_int_ne(
	    crypto_box_seal_open(opened, box, sizeof(box), blue.public_key, secret), 0);
	/* The same answer twice cannot be told from two answers. */
	ck_assert_int_eq(answer_key_make(pn_slice_of("the blue house"), &key), 0);
	ck_assert(memcmp(key.salt, blue.salt, sizeof(key.salt)) != 0);
	ck_assert(memcmp(key.public_key, blue.public_key, sizeof(key.public_key)) != 0);
}
END_TEST

static const struct {
	const char *answer;
	size_t len;
	int want;
} refused[] = {
	{ "", 0, -EINVAL },
	{ " \t\xc2\xa0", 4, -EINVAL },
	{ "\xe2\x80\x8b", 3, -EINVAL },
	{ "caf\xe9", 4, -EILSEQ },
	{ "a\0b", 3, -EILSEQ },
};

START_TEST(refusing)
{
	struct answer_key key;

	ck_assert_ptr_nonnull(answer_fault(pn_slice(refused[_i].answer, refused[_i].len)));
	ck_assert_ptr_null(answer_fault(pn_slice_of("the blue house")));
	ck_assert_int_eq(
	    answer_key_make(pn_slice(refused[_i].answer, refused[_i].len), &key), refused[_i].want);
}
END_TEST

START_TEST(too_long)
{
	char text[ANSWER_MOST + 1];
	struct answer_key key;

	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(answer_key_make(pn_slice(text, sizeof(text)), &key), -E2BIG);
}
END_TEST

/* ---- what is written ------------------------------------------------------------------------- */

START_TEST(as_text)
{
	char text[ANSWER_TEXT_SIZE], wrong[ANSWER_TEXT_SIZE];
	struct answer_key key;

	answer_key_print(&blue, text);
	ck_assert_uint_eq(strlen(text), sizeof(text) - 1);
	ck_assert_int_eq(answer_key_parse(pn_slice_of(text), &key), 0);
	ck_assert_mem_eq(&key, &blue, sizeof(key));
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		memcpy(wrong, text, sizeof(text));
		wrong[i] = i < 8 ? 'X' : '=';
		ck_assert_int_eq(answer_key_parse(pn_slice_of(wrong), &key), -EINVAL);
		ck_assert_int_eq(answer_key_parse(pn_slice(text, i), &key), -EINVAL);
	}
}
END_TEST

START_TEST(choices)
{
	static const char *const bad[] = { "", "log", "login ", "question ", "question x y",
		"anything" };
	char text[ANSWER_CHOICE_SIZE], question[ANSWER_QUESTION_MOST + 2];
	struct answer_choice choice;
	struct pn_slice written = answer_choice_print("Which house?", &blue, text);

	ck_assert_int_eq(answer_choice_parse(written, &choice), 0);
	ck_assert(!choice.login && pn_slice_equals(choice.question, pn_slice_of("Which house?")));
	ck_assert_mem_eq(&choice.key, &blue, sizeof(blue));
	for (size_t i = 0; i + strlen("Which house?") <= written.len; i++)
		ck_assert_int_eq(answer_choice_parse(pn_slice(written.data, i), &choice), -EINVAL);
	ck_assert_int_eq(answer_choice_parse(pn_slice_of(ANSWER_CHOICE_LOGIN), &choice), 0);
	ck_assert(choice.login && choice.question.len == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(answer_choice_parse(pn_slice_of(bad[i]), &choice), -EINVAL);
	memset(question, 'q', sizeof(question));
	question[ANSWER_QUESTION_MOST] = '\0';
	written = answer_choice_print(question, &blue, text);
	ck_assert_int_eq(answer_choice_parse(written, &choice), 0);
	ck_assert_uint_eq(choice.question.len, ANSWER_QUESTION_MOST);
}
END_TEST

START_TEST(questions)
{
	char question[ANSWER_QUESTION_MOST + 2];

	memset(question, 'q', sizeof(question));
	question[ANSWER_QUESTION_MOST + 1] = '\0';
	ck_assert_ptr_nonnull(answer_question_fault(question));
	question[ANSWER_QUESTION_MOST] = '\0';
	ck_assert_ptr_null(answer_question_fault(question));
	ck_assert_ptr_null(answer_question_fault("Wie hei\xc3\x9ft die Stra\xc3\x9f"
						 "e?"));
	ck_assert_ptr_nonnull(answer_question_fault(" \t"));
	ck_assert_ptr_nonnull(answer_question_fault(""));
	ck_assert_ptr_nonnull(answer_question_fault("one\ntwo"));
	ck_assert_ptr_nonnull(answer_question_fault("one\xe2\x80\xa8two"));
	ck_assert_ptr_nonnull(answer_question_fault("\xe9"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("answer");
	TCase *tcase = tcase_create("answer");

	tcase_add_unchecked_fixture(tcase, make_blue, NULL);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, comparing, 0, COUNT(answers));
	tcase_add_loop_test(tcase, one_spelling, 0, 3);
	tcase_add_test(tcase, sealing);
	tcase_add_loop_test(tcase, refusing, 0, COUNT(refused));
	tcase_add_test(tcase, too_long);
	tcase_add_test(tcase, as_text);
	tcase_add_test(tcase, choices);
	tcase_add_test(tcase, questions);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
