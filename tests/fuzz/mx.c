/* SPDX-License-Identifier: Apache-2.0 */
/* mx.c - fuzz target: the rdata of an MX record. A name that is read is one that can be asked for.
 */
#include <core/net/mx.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char usual[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	char name[DNS_NAME_SIZE];
	uint16_t preference;

	if (!mx_read_record(pn_slice(data, size), &preference, name))
		return 0;
	if (strspn(name, usual) != strlen(name) || strstr(name, "..") || *name == '.' ||
	    strlen(name) > DNS_NAME_SIZE - 3 || preference != data[0] * 256 + data[1])
		abort();
	return 0;
}
