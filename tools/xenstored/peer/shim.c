/*
 * Lets Debian's xenstored and oxenstored run on a machine without Xen, so that they can be measured and
 * compared with ours. Preloaded; it stands in for the event channel, grant table and control libraries.
 *
 *   gcc -shared -fPIC -O2 -o shim.so shim.c -ldl
 *   XS_SHIM_DIR=DIR LD_PRELOAD=shim.so xenstored -N
 *
 * DIR/ring-N is domain N's ring page (a file, mapped shared); DIR/evtchn is a FIFO into which a test writes
 * the 32-bit port numbers that shall fire. Every domid below 100 exists.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xenctrl.h>

static int dummy;
static int fifo = -1;

static const char *in_dir(char *buf, size_t n, const char *name)
{
    const char *dir = getenv("XS_SHIM_DIR");

    snprintf(buf, n, "%s/%s", dir ? dir : "/tmp", name);
    return buf;
}

static void *ring(unsigned int domid)
{
    char name[32], path[256];
    void *p;
    int fd;

    snprintf(name, sizeof name, "ring-%u", domid);
    fd = open(in_dir(path, sizeof path, name), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 4096))
        return NULL;
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static void *evtchn_open(void)
{
    char path[256];

    if (fifo < 0) {
        in_dir(path, sizeof path, "evtchn");
        mkfifo(path, 0600);
        fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    return &dummy;
}

void *xenevtchn_open(void *log, unsigned int flags) { return evtchn_open(); }
void *xenevtchn_fdopen(void *log, int fd, unsigned int flags) { return evtchn_open(); }
int xenevtchn_close(void *h) { return 0; }
int xenevtchn_fd(void *h) { return fifo; }
int xenevtchn_notify(void *h, uint32_t port) { return 0; }
int xenevtchn_bind_interdomain(void *h, uint32_t domid, uint32_t port) { return 1000 + domid; }
int xenevtchn_bind_virq(void *h, unsigned int virq) { return 900; }
int xenevtchn_unbind(void *h, uint32_t port) { return 0; }
int xenevtchn_unmask(void *h, uint32_t port) { return 0; }
int xenevtchn_pending(void *h)
{
    uint32_t port;

    return read(fifo, &port, sizeof port) == sizeof port ? (int)port : -1;
}

void *xengnttab_open(void *log, unsigned int flags) { return &dummy; }
int xengnttab_close(void *h) { return 0; }
int xengnttab_set_max_grants(void *h, uint32_t n) { return 0; }
void *xengnttab_map_grant_ref(void *h, uint32_t domid, uint32_t ref, int prot) { return ring(domid); }
int xengnttab_unmap(void *h, void *p, uint32_t n) { return munmap(p, 4096 * (size_t)n); }

xc_interface *xc_interface_open(xentoollog_logger *a, xentoollog_logger *b, unsigned int f)
{
    return (xc_interface *)&dummy;
}
int xc_interface_close(xc_interface *x) { return 0; }
void *xc_map_foreign_range(xc_interface *x, uint32_t domid, int size, int prot, unsigned long mfn)
{
    return ring(domid);
}
int xc_domain_getinfo(xc_interface *x, uint32_t first, unsigned int max, xc_dominfo_t *info)
{
    char name[32], path[256];

    memset(info, 0, max * sizeof *info);
    if (first >= 100)
        return 0;
    info->domid = first;
    snprintf(name, sizeof name, "dying-%u", first);
    info->dying = access(in_dir(path, sizeof path, name), F_OK) == 0;
    snprintf(name, sizeof name, "shutdown-%u", first);
    info->shutdown = access(in_dir(path, sizeof path, name), F_OK) == 0;
    return 1;
}
int xc_domain_getinfolist(xc_interface *x, uint32_t first, unsigned int max, xc_domaininfo_t *info)
{
    memset(info, 0, max * sizeof *info);
    if (!max || first >= 100)
        return 0;
    info->domain = first;
    return 1;
}

/* oxenstored raises its file limit, which an unprivileged container refuses. */
int setrlimit(__rlimit_resource_t r, const struct rlimit *l) { return 0; }

/* /proc/xen/xsd_port and /proc/xen/xsd_kva become files of the test directory. */
static const char *redirect(const char *path, char *buf, size_t n)
{
    if (strstr(path, "xsd_port")) {
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        int fd = real(in_dir(buf, n, "xsd_port"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        if (fd >= 0 && write(fd, "1", 1) == 1)
            close(fd);
        return buf;
    }
    if (strstr(path, "xsd_kva")) {
        void *p = ring(0);

        if (p)
            munmap(p, 4096);
        return in_dir(buf, n, "ring-0");
    }
    return path;
}

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...)                            \
    {                                                                     \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);    \
        char buf[256];                                                    \
        mode_t mode = 0;                                                  \
        if (flags & (O_CREAT | O_TMPFILE)) {                              \
            va_list ap;                                                   \
            va_start(ap, flags);                                          \
            mode = va_arg(ap, mode_t);                                    \
            va_end(ap);                                                   \
        }                                                                 \
        return real(redirect(path, buf, sizeof buf), flags, mode);        \
    }
OPEN(open)
OPEN(open64)
