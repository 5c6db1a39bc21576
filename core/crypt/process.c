/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - starts this program again as a crypt helper.
 *
 * Called by pool.c. By posix_spawn, which copies no page tables: the process that asks may be
 * large. The child gets a socket, an environment of three names and a group of its
 * own, so that what it starts ends with it. Must never leave it another descriptor.
 */
#include <core/crypt/helper.h>
#include <core/crypt/process.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <core/crypt/frame.h>

#define PREFIX "crypt-"

/* ---- homes ----------------------------------------------------------------------------------- */

static void
remove_home(const char *home)
{
	DIR *folder = opendir(home);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0);
	if (folder)
		closedir(folder);
	rmdir(home);
}

/* Named for who made it. */
static int
make_home(const char *folder, char *ret, size_t size)
{
	if (folder &&
	    snprintf(ret, size, "%s/" PREFIX "%d-XXXXXX", folder, (int)getpid()) < (int)size &&
	    mkdtemp(ret))
		return 0;
	snprintf(ret, size, "/tmp/postern-" PREFIX "%d-XXXXXX", (int)getpid());
	return mkdtemp(ret) ? 0 : -errno;
}

void
process_sweep(const char *folder)
{
	DIR *all = folder ? opendir(folder) : NULL;
	struct dirent *entry;
	char path[512];
	int pid;

	while (all && (entry = readdir(all))) {
		if (sscanf(entry->d_name, PREFIX "%d-", &pid) != 1 || pid <= 0 ||
		    kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		remove_home(path);
	}
	if (all)
		closedir(all);
}

/* ---- processes ------------------------------------------------------------------------------- */

static int
prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *how, int socket)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	r = posix_spawn_file_actions_adddup2(actions, socket, FRAME_SOCKET);
	for (int fd = 0; fd <= 2 && r == 0; fd++)
		r = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, FRAME_SOCKET + 1);
	if (r == 0)
		r = posix_spawnattr_setflags(
		    how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setsigmask(how, &none);
	return r == 0 ? posix_spawnattr_setsigdefault(how, &all) : r;
}

static int
spawn(const char *home, int socket, pid_t *ret)
{
	char name[] = "postern-crypt", role[] = HELPER_ROLE, place[160];
	char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", language[] = "LC_ALL=C";
	char *args[] = { name, role, NULL }, *variables[] = { path, language, place, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t how;
	int r;

	snprintf(place, sizeof(place), "GNUPGHOME=%s", home);
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&how);
	if (r == 0) {
		r = prepare(&actions, &how, socket);
		if (r == 0)
			r = posix_spawn(ret, "/proc/self/exe", &actions, &how, args, variables);
		posix_spawnattr_destroy(&how);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int
process_start(const char *folder, struct process *ret, struct pn_error *err)
{
	int ends[2], r = make_home(folder, ret->home, sizeof(ret->home));

	if (r < 0)
		return pn_error_set(err, r, "%s: %s", ret->home, strerror(-r));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		r = -errno;
	} else {
		r = spawn(ret->home, ends[1], &ret->pid);
		close(ends[1]);
		ret->fd = ends[0];
		if (r < 0)
			close(ends[0]);
	}
	if (r < 0) {
		rmdir(ret->home);
		ret->pid = 0;
		return pn_error_set(err, r, "cannot start a crypt process: %s", strerror(-r));
	}
	return 0;
}

int
process_end(struct process *process, bool kindly)
{
	siginfo_t info;
	int status = 0;

	close(process->fd);
	if (!kindly)
		kill(-process->pid, SIGKILL);
	/* Its children end with it; its pid is not free for others until it is waited for. */
	while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	kill(-process->pid, SIGKILL);
	while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
		;
	remove_home(process->home);
	*process = (struct process){ 0, -1, "" };
	return status;
}
