/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.h - MTA-STS (RFC 8461) as text: the TXT record, the policy file, and which host a policy
 * allows.
 *
 * Pure functions, any thread.
 */
#ifndef CORE_MAIL_STS_H
#define CORE_MAIL_STS_H

#include <core/mail/address.h>

#define STS_ID_SIZE      33                /* 32 letters and digits, with its NUL */
#define STS_FILE_MOST    ((size_t)65536)   /* bytes of a policy file that are read */
#define STS_MX_MOST      100               /* patterns of one policy */
#define STS_MAX_AGE_MOST INT64_C(31557600) /* seconds: about a year (section 3.2) */

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
	enum sts_mode mode;
	int64_t max_age; /* seconds, at most STS_MAX_AGE_MOST */
	size_t count;
	char *patterns[STS_MX_MOST]; /* A-labels in lower case, "*." before some */
};

/*
 * One TXT record: the rdata, which is strings of up to 255 bytes behind their lengths; they count
 * as one text. -ENOENT: it is no record of MTA-STS; -EINVAL: it is meant to be one, and is wrong.
 */
int sts_record(struct pn_slice rdata, char ret_id[STS_ID_SIZE]);

/*
 * A policy file. `ret` is to be cleared, also after -EINVAL; `why` says what is wrong, static.
 */
int sts_policy_parse(struct pn_slice file, struct sts_policy *ret, const char **why);
void sts_policy_clear(struct sts_policy *policy);
/* The same policy as text that sts_policy_parse() takes; to be freed. NULL: out of memory. */
char *sts_policy_print(const struct sts_policy *policy);
/* The host, canonical, stands in the policy or under a wildcard of one label (section 4.1). */
bool sts_policy_allows(const struct sts_policy *policy, const char *host);

/* "none", "testing", "enforce". */
const char *sts_mode_name(enum sts_mode mode);
/* -EINVAL */
int sts_mode_parse(struct pn_slice text, enum sts_mode *ret);

#endif
