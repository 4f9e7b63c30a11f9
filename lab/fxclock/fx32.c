/* A 32-bit program without a C library: every way into a 64-bit kernel, with results, signals, TLS and page faults.
 * Built with `cc -m32 -nostdlib -static`. Ends with 0 if all is as it should be. */

typedef unsigned int u32;
typedef unsigned long long u64;

enum { EXIT = 1, WRITE = 4, GETPID = 20, KILL = 37, MUNMAP = 91, SIGRETURN = 119, MODIFY_LDT = 123, RT_SIGRETURN = 173,
       RT_SIGACTION = 174, MMAP2 = 192, GETTID = 224, SET_THREAD_AREA = 243, EXIT_GROUP = 252, FORK = 2, WAITPID = 7 };
enum { AT_SYSINFO = 32, SIGSEGV = 11, SIGUSR1 = 10, SA_SIGINFO = 4, SA_RESTORER = 0x04000000 };

/* Where the kernel's own entry is, for a CALL. */
__attribute__((used)) static u32 vsyscall;

/* A system call: number, then up to six arguments (the sixth travels in EBP). */
#define ENTRY(name, instruction) \
	__attribute__((naked)) static int name(int n, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) \
	{ \
		__asm__("push %ebx\n\tpush %esi\n\tpush %edi\n\tpush %ebp\n\t" \
			"mov 20(%esp), %eax\n\tmov 24(%esp), %ebx\n\tmov 28(%esp), %ecx\n\tmov 32(%esp), %edx\n\t" \
			"mov 36(%esp), %esi\n\tmov 40(%esp), %edi\n\tmov 44(%esp), %ebp\n\t" instruction \
			"\n\tpop %ebp\n\tpop %edi\n\tpop %esi\n\tpop %ebx\n\tret"); \
	}

ENTRY(int80, "int $0x80")
/* What the kernel offers as the fastest way: SYSENTER or SYSCALL, or INT 0x80 where neither works. */
ENTRY(fast, "call *vsyscall")

static void say(const char *text)
{
	u32 length = 0;
	while (text[length])
		length++;
	int80(WRITE, 1, (u32)text, length, 0, 0, 0);
}

static int failures;

static void check(const char *what, int good)
{
	say(what);
	say(good ? ": ok\n" : ": FAILED\n");
	failures += !good;
}

static volatile u32 caught, fault_at, fault_ip;

static void handler(int signal, u32 *info, u32 *context)
{
	caught = signal;
	if (signal == SIGSEGV) {
		fault_at = info[3];
		/* ucontext: flags, link, stack (3), then the registers: EIP is number 14. */
		fault_ip = context[5 + 14];
		context[5 + 14] = fault_ip + 2;
	}
}

__attribute__((naked)) static void restorer(void)
{
	__asm__("mov $173, %eax\n\tint $0x80");
}

struct action { void *handler; u32 flags; void *restorer; u32 mask[2]; };

static void signals(void)
{
	struct action action = { handler, SA_SIGINFO | SA_RESTORER, restorer, { 0, 0 } };
	int80(RT_SIGACTION, SIGUSR1, (u32)&action, 0, 8, 0, 0);
	int80(RT_SIGACTION, SIGSEGV, (u32)&action, 0, 8, 0, 0);
	int80(KILL, int80(GETPID, 0, 0, 0, 0, 0, 0), SIGUSR1, 0, 0, 0, 0);
	check("a signal", caught == SIGUSR1);
	caught = 0;
	/* mov %eax, (%ecx): two bytes. */
	__asm__ volatile("mov %%eax, (%%ecx)" : : "a"(1), "c"(0xdead000) : "memory");
	check("a page fault", caught == SIGSEGV && fault_at == 0xdead000);
}

/* struct user_desc */
struct desc { u32 entry, base, limit, flags; };
static u32 tls[4] = { 0x11223344, 0, 0, 0 }, ldt[4] = { 0x55667788, 0, 0, 0 };

static void segments(void)
{
	struct desc desc = { -1u, (u32)tls, 0xfffff, 0x51 };
	u32 value = 0;
	int result = int80(SET_THREAD_AREA, (u32)&desc, 0, 0, 0, 0, 0);
	if (!result)
		__asm__ volatile("mov %1, %%gs\n\tmov %%gs:0, %0" : "=r"(value) : "r"(desc.entry << 3 | 3));
	check("a segment in the GDT", value == tls[0]);
	struct desc local = { 1, (u32)ldt, 0xfffff, 0x51 };
	value = 0;
	result = int80(MODIFY_LDT, 1, (u32)&local, sizeof local, 0, 0, 0);
	if (!result)
		__asm__ volatile("mov %1, %%fs\n\tmov %%fs:0, %0" : "=r"(value) : "r"(1 << 3 | 7));
	check("a segment in the LDT", value == ldt[0]);
	/* Both survive being switched away from. */
	for (int i = 0; i < 50; i++) {
		int pid = int80(FORK, 0, 0, 0, 0, 0, 0), status = -1;
		if (!pid)
			int80(EXIT, 7, 0, 0, 0, 0, 0);
		int80(WAITPID, pid, (u32)&status, 0, 0, 0, 0);
		u32 a = 0, b = 0;
		__asm__ volatile("mov %%gs:0, %0\n\tmov %%fs:0, %1" : "=r"(a), "=r"(b));
		if (status != 7 << 8 || a != tls[0] || b != ldt[0]) {
			check("children", 0);
			return;
		}
	}
	check("children", 1);
}

static void floats(void)
{
	double third = 1.0 / (double)(vsyscall ? 3 : 4), sum = 0;
	for (int i = 0; i < 3000; i++) {
		sum += third;
		if (i % 1000 == 0)
			fast(GETPID, 0, 0, 0, 0, 0, 0);
	}
	check("the FPU", sum > 999.9 && sum < 1000.1);
}

__attribute__((used)) static void start(u32 *stack)
{
	u32 argc = stack[0], *at = stack + 1 + argc + 1;
	while (*at++)
		;
	for (; at[0]; at += 2)
		if (at[0] == AT_SYSINFO)
			vsyscall = at[1];
	int pid = int80(GETPID, 0, 0, 0, 0, 0, 0);
	check("int 0x80", pid > 0 && int80(GETTID, 0, 0, 0, 0, 0, 0) == pid);
	int area = int80(MMAP2, 0, 8192, 3, 0x22, -1u, 0);
	check("six arguments", (u32)area < -4096u);
	*(volatile u32 *)area = 1;
	int good = vsyscall != 0;
	for (int i = 0; good && i < 10000; i++)
		good = fast(GETPID, 0, 0, 0, 0, 0, 0) == pid;
	check("the kernel's way, 10000 times", good);
	if (vsyscall) {
		int other = fast(MMAP2, 0, 8192, 3, 0x22, -1u, 0);
		check("the kernel's way with six arguments", (u32)other < -4096u && fast(MUNMAP, other, 8192, 0, 0, 0, 0) == 0);
	}
	signals();
	if (vsyscall)
		floats();
	segments();
	say(failures ? "32-bit programs are BROKEN\n" : "32-bit programs run\n");
	int80(EXIT_GROUP, failures != 0, 0, 0, 0, 0, 0);
}

__attribute__((naked, used)) void _start(void)
{
	__asm__("mov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall start");
}
