/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap_filter.c - puts values into a search filter; how names of entries are compared.
 *
 * Called by ldap.c and by whoever reads entries that name others. Must never let a value be read as
 * anything but a value: what RFC 4515 section 3 does not let stand, and whatever is not ASCII, is
 * written as \xx.
 */
#include <core/client/ldap.h>
#include <errno.h>
#include <glib.h>
#include <ldap.h>

static int
add_value(struct buf *buf, struct pn_slice value)
{
	int r = 0;

	for (size_t i = 0; i < value.len && r == 0; i++) {
		unsigned char c = (unsigned char)value.data[i];

		if (c < ' ' || c >= 0x7f || strchr("*()\\", c))
			r = buf_printf(buf, "\\%02x", c);
		else
			r = buf_add(buf, &value.data[i], 1);
	}
	return r;
}

int
ldap_filter_fill(const char *filter, const struct pn_slice *values, size_t count, struct buf *ret,
    struct pn_error *err)
{
	int r = 0;

	for (const char *at = filter; *at && r == 0; at++) {
		size_t which = (size_t)(at[1] - '1');

		if (at[0] != '?' || at[1] < '1' || at[1] > '9') {
			r = buf_add(ret, at, 1);
			continue;
		}
		if (which >= count)
			return pn_error_set(err, -EINVAL,
			    "the filter %.200s asks for ?%c, and there are %zu values", filter,
			    at[1], count);
		r = add_value(ret, values[which]);
		at++;
	}
	return r < 0 ? pn_error_set(err, r, "the filter is too long") : 0;
}

char *
ldap_dn_compared(const char *dn)
{
	char *normal = NULL, *folded;

	if (!g_utf8_validate(dn, -1, NULL) || ldap_dn_normalize(dn, LDAP_DN_FORMAT_LDAP, &normal,
						  LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
		return NULL;
	folded = g_utf8_casefold(normal, -1);
	ldap_memfree(normal);
	return folded;
}
