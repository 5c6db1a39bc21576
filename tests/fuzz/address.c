/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - fuzz target: mail addresses.
 *
 * What is accepted is what was given, holds no byte that could end a command or a header, and has
 * a canonical form that is its own canonical form and leaves the local part alone but for quotes
 * and escapes that it need not have.
 */
#include <core/config/directory.h>
#include <core/mail/address.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
check_bytes(const char *address, bool utf8)
{
	bool quoted = address[0] == '"';
	const char *at = strrchr(address, '@');

	for (const char *p = address; *p; p++) {
		unsigned char c = (unsigned char)*p;

		must(c >= 0x20 && c != 0x7f && c != '<' && c != '>');
		must(c != ' ' || (quoted && p < at));
		must(utf8 || c < 0x80);
	}
}

/* The same up to the last '@', quotes and escapes aside. */
static bool
same_local(const char *a, const char *b)
{
	const char *a_end = strrchr(a, '@'), *b_end = strrchr(b, '@');

	for (;; a++, b++) {
		while (a < a_end && (*a == '"' || *a == '\\'))
			a++;
		while (b < b_end && (*b == '"' || *b == '\\'))
			b++;
		if (a == a_end || b == b_end)
			return a == a_end && b == b_end;
		if (*a != *b)
			return false;
	}
}

/* What scopes compare is an address, the same however often it is made, in every case of ASCII. */
static void
check_scope(const char *address)
{
	char once[MAIL_ADDRESS_SIZE], twice[MAIL_ADDRESS_SIZE], upper[MAIL_ADDRESS_SIZE];

	must(config_scope_address(address, once) == 0);
	must(config_scope_address(once, twice) == 0 && strcmp(once, twice) == 0);
	must(mail_address_canonical(once, twice) == 0 && strcmp(once, twice) == 0);
	for (size_t i = 0; i <= strlen(address); i++)
		upper[i] = address[i] >= 'a' && address[i] <= 'z' ? (char)(address[i] - 32)
								  : address[i];
	must(config_scope_address(upper, twice) == 0 && strcmp(once, twice) == 0);
}

static void
check_canonical(const char *address)
{
	char once[MAIL_ADDRESS_SIZE], twice[MAIL_ADDRESS_SIZE], domain[MAIL_DOMAIN_MOST + 1];
	const char *at = strrchr(address, '@');
	int r = mail_address_canonical(address, once);

	must(r == 0 || r == -E2BIG); /* A-labels are longer */
	if (r < 0)
		return;
	must(mail_address_canonical(once, twice) == 0 && strcmp(once, twice) == 0);
	check_scope(once);
	if (!at)
		return;
	must(strrchr(once, '@') && same_local(address, once));
	must(address[0] == '"' || strncmp(address, once, (size_t)(at - address) + 1) == 0);
	must(mail_domain_canonical(at + 1, domain) == 0);
	must(strcmp(domain, mail_address_domain(once)) == 0 && !mail_address_is_utf8(domain));
	must(strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") == strlen(domain));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = pn_slice(data, size);
	char ret[MAIL_ADDRESS_SIZE];

	for (int utf8 = 0; utf8 < 2; utf8++) {
		if (mail_address_check(text, utf8, ret) < 0)
			continue;
		must(size <= MAIL_ADDRESS_MOST && strlen(ret) == size);
		must(memcmp(ret, data, size) == 0);
		check_bytes(ret, utf8);
		check_canonical(ret);
	}
	return 0;
}
