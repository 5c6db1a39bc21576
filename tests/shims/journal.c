/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.c - a preloaded library: what goes to systemd's journal goes to the socket that
 * POSTERN_TEST_JOURNAL names, so that a test can be the journal where there is none.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define JOURNAL "/run/systemd/journal/socket"

__attribute__((visibility("default"))) ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t (*next)(int, const struct msghdr *, int);
	void *found = dlsym(RTLD_NEXT, "sendmsg");
	const struct sockaddr_un *to = message->msg_name;
	const char *path = getenv("POSTERN_TEST_JOURNAL");
	struct sockaddr_un other = { .sun_family = AF_UNIX };
	struct msghdr copy = *message;

	memcpy(&next, &found, sizeof(next));
	if (!path || !to || to->sun_family != AF_UNIX || strcmp(to->sun_path, JOURNAL) != 0)
		return next(fd, message, flags);
	strncpy(other.sun_path, path, sizeof(other.sun_path) - 1);
	copy.msg_name = &other;
	copy.msg_namelen = sizeof(other);
	return next(fd, &copy, flags);
}
