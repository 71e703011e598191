/*
 * The cell of the reader processes, from inside: what must fail fails, what parsing needs works.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/readers/readers.h"

typedef struct {
    const char *folder; /* may be read */
    const char *other;  /* may not */
    gboolean landlock;
} Place;

/* Runs in the child; 0 or the number of the check that failed. */
static int
check_inside(const Place *place)
{
    g_autofree char *mine = g_build_filename(place->folder, "f", NULL);
    g_autofree char *theirs = g_build_filename(place->other, "f", NULL);
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
        return 1;
    if (fork() >= 0)
        return 2;
    if (open(mine, O_RDONLY) < 0)
        return 3;
    if (open(mine, O_WRONLY) >= 0 || open(mine, O_RDWR) >= 0 ||
        open(mine, O_RDONLY | O_CREAT, 0600) >= 0)
        return 4;
    if (unlink(mine) == 0 || rename(mine, "x") == 0 || mkdir("y", 0700) == 0)
        return 5;
    if (place->landlock && open(theirs, O_RDONLY) >= 0)
        return 6;
    if (kill(getppid(), 0) == 0)
        return 7;
    void *memory = malloc(1 << 20);
    if (!memory)
        return 8;
    free(memory);
#ifndef __SANITIZE_ADDRESS__
    memory = malloc((size_t)400 << 20);
    if (memory)
        return 9;
#endif
    return 0;
}

static int
run_child(const Place *place)
{
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) paths = g_ptr_array_new();
        Place inside = *place;
        PdReadLimits limits = pd_read_limits_default;
        limits.worker_bytes_max = 256u << 20;
        g_ptr_array_add(paths, (gpointer)place->folder);
        const PdSandboxNeeds needs = {.read_paths = paths, .one_document = TRUE};
        if (!pd_sandbox_enter(&needs, &limits, FALSE, notes, NULL))
            _exit(100);
        inside.landlock = notes->len == 0;
        _exit(check_inside(&inside));
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
test_cell(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *other = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *mine = g_build_filename(folder, "f", NULL);
    g_autofree char *theirs = g_build_filename(other, "f", NULL);
    g_assert_true(g_file_set_contents(mine, "a", 1, NULL));
    g_assert_true(g_file_set_contents(theirs, "b", 1, NULL));
    const Place place = {folder, other, TRUE};
    int code = run_child(&place);
    if (code == 100)
        g_test_skip("this kernel has no seccomp");
    else
        g_assert_cmpint(code, ==, 0);
    g_assert_true(g_file_test(mine, G_FILE_TEST_EXISTS));
    unlink(mine);
    unlink(theirs);
    rmdir(folder);
    rmdir(other);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/cell", test_cell);
    return g_test_run();
}
