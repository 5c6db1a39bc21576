/* SPDX-License-Identifier: Apache-2.0 */
/* mail_sts.c - unit tests of MTA-STS as text: records, policy files, hosts that a policy allows. */
#include "run.h"
#include <core/mail/sts.h>
#include <errno.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- records (RFC 8461 section 3.1) ---------------------------------------------------------- */

static const struct {
	const char *text;
	const char *id; /* NULL: not to be had */
	int r;
} records[] = {
	{ "v=STSv1; id=20160831085700Z;", "20160831085700Z", 0 },
	{ "v=STSv1;id=1", "1", 0 },
	{ "v=STSv1 ; id=1 ; ", "1", 0 },
	{ "v=STSv1; id=12345678901234567890123456789012", "12345678901234567890123456789012", 0 },
	{ "v=STSv1; x-new=a+b/c; id=2; y.z_9=1", "2", 0 },
	{ "v=STSv1; id=1; id=2", "1", 0 },
	{ "v=STSv1; id=123456789012345678901234567890123", NULL, -EINVAL },
	{ "v=STSv1; id=", NULL, -EINVAL },
	{ "v=STSv1; id=a-b", NULL, -EINVAL },
	{ "v=STSv1; id=a b", NULL, -EINVAL },
	{ "v=STSv1; id", NULL, -EINVAL },
	{ "v=STSv1; ID=1", NULL, -EINVAL },
	{ "v=STSv1; x=1", NULL, -EINVAL },
	{ "v=STSv1; id=1;; x=2", NULL, -EINVAL },
	{ "v=STSv1; -x=1; id=1", NULL, -EINVAL },
	{ "v=STSv1; id=1; x=a=b", NULL, -EINVAL },
	{ "v=STSv1;", NULL, -EINVAL },
	{ "v=STSv1", NULL, -ENOENT },
	{ "v=stsv1; id=1", NULL, -ENOENT },
	{ "v=STSv2; id=1", NULL, -ENOENT },
	{ " v=STSv1; id=1", NULL, -ENOENT },
	{ "id=1; v=STSv1", NULL, -ENOENT },
	{ "v=spf1 -all", NULL, -ENOENT },
	{ "", NULL, -ENOENT },
};

static int
read_record(const char *text, size_t cut, char id[STS_ID_SIZE])
{
	char rdata[300];
	size_t len = strlen(text);

	rdata[0] = (char)cut;
	memcpy(rdata + 1, text, cut);
	rdata[1 + cut] = (char)(len - cut);
	memcpy(rdata + 2 + cut, text + cut, len - cut);
	return sts_record(pn_slice(rdata, len + 2), id);
}

/* Several strings are one text, wherever it is cut. */
START_TEST(record)
{
	char id[STS_ID_SIZE];

	for (size_t cut = 0; cut <= strlen(records[_i].text); cut++) {
		ck_assert_int_eq(read_record(records[_i].text, cut, id), records[_i].r);
		if (records[_i].id)
			ck_assert_str_eq(id, records[_i].id);
	}
}
END_TEST

START_TEST(record_cut_short)
{
	static const char rdata[] = "\17v=STSv1; id=1;";
	char id[STS_ID_SIZE];

	ck_assert_int_eq(sts_record(pn_slice(rdata, 15), id), -ENOENT);
	ck_assert_int_eq(sts_record(pn_slice(rdata, 0), id), -ENOENT);
	ck_assert_int_eq(sts_record(pn_slice("\16v=STSv1; id=1;", 15), id), 0);
}
END_TEST

/* ---- policies (section 3.2) ------------------------------------------------------------------ */

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 86400\n"

static const struct {
	const char *text;
	const char *printed; /* NULL: refused */
} policies[] = {
	{ "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
	  "mx: backupmx.example.com\r\nmax_age: 604800\r\n",
	    "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mail.example.com\n"
	    "mx: *.example.net\nmx: backupmx.example.com\n" },
	{ HEAD "mx: a.example", HEAD "mx: a.example\n" },
	{ HEAD "mx:a.example \t\r\n\r\n\n", HEAD "mx: a.example\n" },
	/* C07: U-labels, in patterns with wildcards as well, are compared as A-labels */
	{ HEAD "mx: *.M\303\234LLER.example\n", HEAD "mx: *.xn--mller-kva.example\n" },
	{ HEAD "mx: Mail.XN--MLLER-kva.Example\n", HEAD "mx: mail.xn--mller-kva.example\n" },
	{ HEAD "mx: a.example\nx-new: \303\274 any: thing\nmode: none\nversion: X\nmax_age: z\n",
	    HEAD "mx: a.example\n" },
	{ "mx: a\nmax_age: 9999999999\nmode: testing\nversion: STSv1",
	    "version: STSv1\nmode: testing\nmax_age: 31557600\nmx: a\n" },
	{ "version: STSv1\nmode: none\nmax_age: 0\n", "version: STSv1\nmode: none\nmax_age: 0\n" },
	{ HEAD, NULL },
	{ "", NULL },
	{ "version: STSv1\nmode: enforce\nmx: a.example\n", NULL },
	{ "version: STSv1\nmax_age: 1\nmx: a.example\n", NULL },
	{ "mode: enforce\nmax_age: 1\nmx: a.example\n", NULL },
	{ "version: STSv2\nmode: enforce\nmax_age: 1\nmx: a.example\n", NULL },
	{ "version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.example\n", NULL },
	{ "version: STSv1\nmode: enforce\nmax_age: -1\nmx: a.example\n", NULL },
	{ "version: STSv1\nmode: enforce\nmax_age: 12345678901\nmx: a.example\n", NULL },
	{ HEAD "mx: \n", NULL },
	{ HEAD "mx: *\n", NULL },
	{ HEAD "mx: *.\n", NULL },
	{ HEAD "mx: *.*.example\n", NULL },
	{ HEAD "mx: a.*.example\n", NULL },
	{ HEAD "mx: *a.example\n", NULL },
	{ HEAD "mx: a..example\n", NULL },
	{ HEAD "mx: [192.0.2.1]\n", NULL },
	{ HEAD "mx: a example\n", NULL },
	{ HEAD "mx: \377\376.example\n", NULL },
	{ HEAD "mx: a.example\nnonsense\n", NULL },
	{ HEAD "mx: a.example\n: x\n", NULL },
	{ HEAD "mx: a.example\n x: y\n", NULL },
	{ HEAD "mx: a.example\nx: a\rb\n", NULL },
	{ "<html>version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.example\n", NULL },
};

START_TEST(policy)
{
	struct sts_policy read;
	const char *why = NULL;
	int r = sts_policy_parse(pn_slice_of(policies[_i].text), &read, &why);
	char *printed;

	ck_assert_int_eq(r, policies[_i].printed ? 0 : -EINVAL);
	ck_assert_int_eq(why == NULL, r == 0);
	if (r == 0) {
		printed = sts_policy_print(&read);
		ck_assert_str_eq(printed, policies[_i].printed);
		free(printed);
	}
	sts_policy_clear(&read);
}
END_TEST

START_TEST(policy_of_any_size)
{
	char *text = calloc(1, STS_FILE_MOST + 2);
	struct sts_policy read;
	const char *why;

	strcpy(text, HEAD);
	for (int i = 0; i < STS_MX_MOST; i++)
		strcat(text, "mx: a.example\n");
	ck_assert_int_eq(sts_policy_parse(pn_slice_of(text), &read, &why), 0);
	ck_assert_uint_eq(read.count, STS_MX_MOST);
	sts_policy_clear(&read);
	strcat(text, "mx: a.example\n");
	ck_assert_int_eq(sts_policy_parse(pn_slice_of(text), &read, &why), -EINVAL);
	sts_policy_clear(&read);
	strcpy(text, HEAD "mx: a.example\nx:");
	memset(text + strlen(text), 'y', STS_FILE_MOST - strlen(text));
	ck_assert_int_eq(sts_policy_parse(pn_slice(text, STS_FILE_MOST), &read, &why), 0);
	sts_policy_clear(&read);
	ck_assert_int_eq(sts_policy_parse(pn_slice(text, STS_FILE_MOST + 1), &read, &why), -EINVAL);
	sts_policy_clear(&read);
	free(text);
}
END_TEST

/* ---- hosts (section 4.1) --------------------------------------------------------------------- */

static const struct {
	const char *host;
	bool allowed;
} hosts[] = {
	{ "mail.example.com", true },
	{ "a.example.net", true },
	{ "mx.xn--mller-kva.example", true },
	{ "example.net", false },
	{ "a.b.example.net", false },
	{ ".example.net", false },
	{ "b.mail.example.com", false },
	{ "example.com", false },
	{ "aexample.net", false },
	{ "", false },
};

START_TEST(host)
{
	static const char text[] = HEAD
	    "mx: mail.example.com\nmx: *.example.net\nmx: *.m\303\274ller.example\n";
	struct sts_policy read;
	const char *why;

	ck_assert_int_eq(sts_policy_parse(pn_slice_of(text), &read, &why), 0);
	ck_assert_int_eq(sts_policy_allows(&read, hosts[_i].host), hosts[_i].allowed);
	sts_policy_clear(&read);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mail_sts");
	TCase *tcase = tcase_create("sts");

	tcase_add_loop_test(tcase, record, 0, COUNT(records));
	tcase_add_test(tcase, record_cut_short);
	tcase_add_loop_test(tcase, policy, 0, COUNT(policies));
	tcase_add_test(tcase, policy_of_any_size);
	tcase_add_loop_test(tcase, host, 0, COUNT(hosts));
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
