/*
 * The cell that a reader locks itself into before it looks at input.
 *
 * Three layers, so that the lack of one leaves the others: resource limits (memory, time, files),
 * Landlock (which files may be read; ABI asked for at run time, Linux 5.13 or later), and a seccomp
 * list of the system calls that parsing needs: no sockets, no processes, no programs, and no
 * opening for writing unless a folder to write to was granted.  See landlock(7), seccomp(2).
 */
#include "ingest/readers/readers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ingest/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef UNDER_ADDRESS_SANITIZER
/* The leak checker at exit would need to start a thread and trace us. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* What a reader writes is not seen and it inherits no environment: undefined behaviour ends it, or
 * no test would notice. */
const char *__ubsan_default_options(void);
const char *
__ubsan_default_options(void)
{
    return "halt_on_error=1";
}
#endif

/* A stream of documents (mbox, repository) may take long; each document is watched by the parent.
 */
#define STREAM_CPU_SECONDS_MAX 7200
#define OPEN_FILES_MAX 256

/* linux/landlock.h of Debian 12 ends at ABI 2; the values are part of the kernel's interface. */
#define ACCESS_REFER (1ull << 13)
#define ACCESS_TRUNCATE (1ull << 14)
#define ACCESS_IOCTL_DEV (1ull << 15)
#define ACCESS_NET_ALL 3ull    /* bind and connect, ABI 4 */
#define SCOPE_ALL 3ull         /* abstract sockets and signals, ABI 6 */
#define ACCESS_ABI_1 0x1FFFull /* bits 0 to 12 */

typedef struct {
    guint64 handled_access_fs;
    guint64 handled_access_net;
    guint64 scoped;
} RulesetAttr;

static gboolean
set_limit(int resource, guint64 value, GError **error)
{
    struct rlimit limit = {value, value};
    struct rlimit now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max < value)
        limit.rlim_cur = limit.rlim_max = now.rlim_max;
    if (setrlimit(resource, &limit) == 0)
        return TRUE;
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER, "cannot set a limit: %s",
                g_strerror(errno));
    return FALSE;
}

static gboolean
set_limits(const PdSandboxNeeds *needs, const PdReadLimits *limits, GError **error)
{
#ifndef UNDER_ADDRESS_SANITIZER
    if (limits->worker_bytes_max && !set_limit(RLIMIT_AS, limits->worker_bytes_max, error))
        return FALSE;
#endif
    guint64 seconds = needs->one_document ? limits->document_seconds_max : STREAM_CPU_SECONDS_MAX;
    return set_limit(RLIMIT_CPU, MAX(seconds, 1), error) &&
           set_limit(RLIMIT_FSIZE, needs->write_path ? needs->write_bytes_max : 0, error) &&
           set_limit(RLIMIT_NOFILE, OPEN_FILES_MAX, error) && set_limit(RLIMIT_CORE, 0, error);
}

static void
allow_path(int ruleset, const char *path, guint64 access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (fd < 0)
        return; /* what is not there cannot be read */
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
        access &= LANDLOCK_ACCESS_FS_READ_FILE; /* a rule with rights of folders would be refused */
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

/* FALSE: the kernel has no Landlock. */
static gboolean
enter_landlock(const PdSandboxNeeds *needs)
{
    /* glibc loads a converter per charset from here. */
    static const char *const always[] = {"/usr/lib/x86_64-linux-gnu/gconv",
                                         "/usr/lib/aarch64-linux-gnu/gconv", "/usr/lib64/gconv",
                                         "/usr/lib/gconv"};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return FALSE;
    RulesetAttr attr = {.handled_access_fs = ACCESS_ABI_1};
    if (abi >= 2)
        attr.handled_access_fs |= ACCESS_REFER;
    if (abi >= 3)
        attr.handled_access_fs |= ACCESS_TRUNCATE;
    if (abi >= 4)
        attr.handled_access_net = ACCESS_NET_ALL;
    if (abi >= 5)
        attr.handled_access_fs |= ACCESS_IOCTL_DEV;
    if (abi >= 6)
        attr.scoped = SCOPE_ALL;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return FALSE;
    const guint64 reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const guint64 writing = reading | LANDLOCK_ACCESS_FS_WRITE_FILE |
                            LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                            LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                            ((ACCESS_REFER | ACCESS_TRUNCATE) & attr.handled_access_fs);
    for (gsize i = 0; i < G_N_ELEMENTS(always); i++)
        allow_path(ruleset, always[i], reading);
    for (guint i = 0; needs->read_paths && i < needs->read_paths->len; i++)
        allow_path(ruleset, g_ptr_array_index(needs->read_paths, i), reading);
    if (needs->write_path)
        allow_path(ruleset, needs->write_path, writing);
    gboolean ok = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok;
}

static gboolean
allow_calls(scmp_filter_ctx filter, const int *calls, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        if (rc != 0 && rc != -EDOM) /* -EDOM: not a call of this architecture */
            return FALSE;
    }
    return TRUE;
}

static gboolean
allow_always(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(read),
                                SCMP_SYS(pread64),
                                SCMP_SYS(readv),
                                SCMP_SYS(preadv),
                                SCMP_SYS(write),
                                SCMP_SYS(writev),
                                SCMP_SYS(lseek),
                                SCMP_SYS(_llseek),
                                SCMP_SYS(close),
                                SCMP_SYS(dup),
                                SCMP_SYS(fcntl),
                                SCMP_SYS(fcntl64),
                                SCMP_SYS(fstat),
                                SCMP_SYS(fstat64),
                                SCMP_SYS(stat),
                                SCMP_SYS(lstat),
                                SCMP_SYS(newfstatat),
                                SCMP_SYS(fstatat64),
                                SCMP_SYS(statx),
                                SCMP_SYS(fstatfs),
                                SCMP_SYS(statfs),
                                SCMP_SYS(access),
                                SCMP_SYS(faccessat),
                                SCMP_SYS(faccessat2),
                                SCMP_SYS(readlink),
                                SCMP_SYS(readlinkat),
                                SCMP_SYS(getcwd),
                                SCMP_SYS(getdents),
                                SCMP_SYS(getdents64),
                                SCMP_SYS(fadvise64),
                                SCMP_SYS(poll),
                                SCMP_SYS(ppoll),
                                SCMP_SYS(brk),
                                SCMP_SYS(mmap),
                                SCMP_SYS(mmap2),
                                SCMP_SYS(munmap),
                                SCMP_SYS(mremap),
                                SCMP_SYS(mprotect),
                                SCMP_SYS(madvise),
                                SCMP_SYS(futex),
                                SCMP_SYS(futex_time64),
                                SCMP_SYS(set_robust_list),
                                SCMP_SYS(rseq),
                                SCMP_SYS(membarrier),
                                SCMP_SYS(rt_sigaction),
                                SCMP_SYS(rt_sigprocmask),
                                SCMP_SYS(rt_sigreturn),
                                SCMP_SYS(sigreturn),
                                SCMP_SYS(sigaltstack),
                                SCMP_SYS(clock_gettime),
                                SCMP_SYS(clock_gettime64),
                                SCMP_SYS(clock_getres),
                                SCMP_SYS(gettimeofday),
                                SCMP_SYS(time),
                                SCMP_SYS(nanosleep),
                                SCMP_SYS(clock_nanosleep),
                                SCMP_SYS(times),
                                SCMP_SYS(getrusage),
                                SCMP_SYS(getrandom),
                                SCMP_SYS(getpid),
                                SCMP_SYS(gettid),
                                SCMP_SYS(getuid),
                                SCMP_SYS(geteuid),
                                SCMP_SYS(getgid),
                                SCMP_SYS(getegid),
                                SCMP_SYS(getrlimit),
                                SCMP_SYS(sched_yield),
                                SCMP_SYS(sched_getaffinity),
                                SCMP_SYS(sysinfo),
                                SCMP_SYS(uname),
                                SCMP_SYS(restart_syscall),
                                SCMP_SYS(exit),
                                SCMP_SYS(exit_group)};
    return allow_calls(filter, calls, G_N_ELEMENTS(calls));
}

/* Only where a folder was granted; Landlock keeps it to that folder. */
static gboolean
allow_writing(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(open),      SCMP_SYS(openat),    SCMP_SYS(mkdir),
                                SCMP_SYS(mkdirat),   SCMP_SYS(rename),    SCMP_SYS(renameat),
                                SCMP_SYS(renameat2), SCMP_SYS(unlink),    SCMP_SYS(unlinkat),
                                SCMP_SYS(rmdir),     SCMP_SYS(ftruncate), SCMP_SYS(pwrite64),
                                SCMP_SYS(fsync),     SCMP_SYS(fdatasync), SCMP_SYS(chmod),
                                SCMP_SYS(fchmod),    SCMP_SYS(fchmodat),  SCMP_SYS(link),
                                SCMP_SYS(linkat),    SCMP_SYS(umask),     SCMP_SYS(utimensat)};
    return allow_calls(filter, calls, G_N_ELEMENTS(calls));
}

static gboolean
allow_reading(scmp_filter_ctx filter)
{
    const guint64 writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
    int rc_open = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                                   SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
    return rc == 0 && (rc_open == 0 || rc_open == -EDOM);
}

static gboolean
enter_seccomp(gboolean may_write)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return FALSE;
    /* abort() signals itself; nobody else can be signalled. */
    gboolean ok =
        allow_always(filter) && (may_write ? allow_writing(filter) : allow_reading(filter)) &&
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                         SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0 &&
        /* Limits may be asked for, not set. */
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)) ==
            0 &&
        seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(execve), 0) == 0 &&
        seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(execveat), 0) == 0 &&
        seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok;
}

gboolean
pd_sandbox_enter(const PdSandboxNeeds *needs, const PdReadLimits *limits, gboolean insecure,
                 GPtrArray *notes, GError **error)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would read what we find */
#ifdef SYS_close_range
    syscall(SYS_close_range, PD_READER_STATUS_FD + 1, ~0u, 0);
#endif
    if (!set_limits(needs, limits, error))
        return FALSE;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER, "cannot give up privileges: %s",
                    g_strerror(errno));
        return FALSE;
    }
    if (!enter_landlock(needs))
        g_ptr_array_add(notes, g_strdup("this kernel has no Landlock: the reader process was "
                                        "confined by seccomp only"));
    if (enter_seccomp(needs->write_path != NULL))
        return TRUE;
    if (insecure) {
        g_ptr_array_add(notes, g_strdup("seccomp is missing: parsed without confinement, as "
                                        "asked"));
        return TRUE;
    }
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                "this kernel has no seccomp to confine the parsers with; "
                "--insecure-parsers reads all the same");
    return FALSE;
}
