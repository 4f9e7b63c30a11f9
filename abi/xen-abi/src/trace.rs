//! `trace.h`: trace buffers and their events.

consts! {
    /// Field of an event number.
    u32 {
        TRACE_EXTRA_MAX = 7,
        TRACE_EXTRA_SHIFT = 28,
        TRC_CLS_SHIFT = 16,
        TRC_SUBCLS_SHIFT = 12,
        TRC_SCHED_ID_BITS = 3,
        TRC_SCHED_ID_SHIFT = 9,
    }
    /// Field of a scheduler event.
    u64 {
        TRC_SCHED_ID_MASK = 0xe00,
        TRC_SCHED_EVT_MASK = 0xfffffffffffff1ff,
    }
    /// Scheduler in an event of class `TRC_SCHED_CLASS`.
    u32 {
        TRC_SCHED_CSCHED = 0,
        TRC_SCHED_CSCHED2 = 1,
        TRC_SCHED_ARINC653 = 3,
        TRC_SCHED_RTDS = 4,
        TRC_SCHED_SNULL = 5,
    }
    /// Class, event or flag of a trace record.
    u32 {
        /// General trace
        TRC_GEN = 0x0001f000,
        /// Xen Scheduler trace
        TRC_SCHED = 0x0002f000,
        /// Xen DOM0 operation trace
        TRC_DOM0OP = 0x0004f000,
        /// Xen HVM trace
        TRC_HVM = 0x0008f000,
        /// Xen memory trace
        TRC_MEM = 0x0010f000,
        /// Xen PV traces
        TRC_PV = 0x0020f000,
        /// Xen shadow tracing
        TRC_SHADOW = 0x0040f000,
        /// Xen hardware-related traces
        TRC_HW = 0x0080f000,
        /// Guest-generated traces
        TRC_GUEST = 0x0800f000,
        TRC_ALL = 0x0ffff000,
        TRC_HD_CYCLE_FLAG = 1 << 31,
        /// VMENTRY and #VMEXIT
        TRC_HVM_ENTRYEXIT = 0x00081000,
        /// Various HVM handlers
        TRC_HVM_HANDLER = 0x00082000,
        /// Emulated devices
        TRC_HVM_EMUL = 0x00084000,
        /// Just runstate changes
        TRC_SCHED_MIN = 0x00021000,
        /// Scheduler-specific
        TRC_SCHED_CLASS = 0x00022000,
        /// More inclusive scheduling
        TRC_SCHED_VERBOSE = 0x00028000,
        /// Domains manipulations
        TRC_DOM0_DOMOPS = 0x00041000,
        /// Power management traces
        TRC_HW_PM = 0x00801000,
        /// Traces relating to the handling of IRQs
        TRC_HW_IRQ = 0x00802000,
        TRC_LOST_RECORDS = 126977,
        TRC_TRACE_WRAP_BUFFER = 126978,
        TRC_TRACE_CPU_CHANGE = 126979,
        TRC_SCHED_RUNSTATE_CHANGE = 135169,
        TRC_SCHED_CONTINUE_RUNNING = 135170,
        TRC_SCHED_DOM_ADD = 163841,
        TRC_SCHED_DOM_REM = 163842,
        TRC_SCHED_SLEEP = 163843,
        TRC_SCHED_WAKE = 163844,
        TRC_SCHED_YIELD = 163845,
        TRC_SCHED_BLOCK = 163846,
        TRC_SCHED_SHUTDOWN = 163847,
        TRC_SCHED_CTL = 163848,
        TRC_SCHED_ADJDOM = 163849,
        TRC_SCHED_SWITCH = 163850,
        TRC_SCHED_S_TIMER_FN = 163851,
        TRC_SCHED_T_TIMER_FN = 163852,
        TRC_SCHED_DOM_TIMER_FN = 163853,
        TRC_SCHED_SWITCH_INFPREV = 163854,
        TRC_SCHED_SWITCH_INFNEXT = 163855,
        TRC_SCHED_SHUTDOWN_CODE = 163856,
        TRC_SCHED_SWITCH_INFCONT = 163857,
        TRC_DOM0_DOM_ADD = 266241,
        TRC_DOM0_DOM_REM = 266242,
        TRC_MEM_PAGE_GRANT_MAP = 1110017,
        TRC_MEM_PAGE_GRANT_UNMAP = 1110018,
        TRC_MEM_PAGE_GRANT_TRANSFER = 1110019,
        TRC_MEM_SET_P2M_ENTRY = 1110020,
        TRC_MEM_DECREASE_RESERVATION = 1110021,
        TRC_MEM_POD_POPULATE = 1110032,
        TRC_MEM_POD_ZERO_RECLAIM = 1110033,
        TRC_MEM_POD_SUPERPAGE_SPLINTER = 1110034,
        /// Hypervisor entry points for PV guests.
        TRC_PV_ENTRY = 0x00201000,
        /// Sub-call in a multicall hypercall
        TRC_PV_SUBCALL = 0x00202000,
        TRC_PV_HYPERCALL = 2101249,
        TRC_PV_TRAP = 2101251,
        TRC_PV_PAGE_FAULT = 2101252,
        TRC_PV_FORCED_INVALID_OP = 2101253,
        TRC_PV_EMULATE_PRIVOP = 2101254,
        TRC_PV_EMULATE_4GB = 2101255,
        TRC_PV_MATH_STATE_RESTORE = 2101256,
        TRC_PV_PAGING_FIXUP = 2101257,
        TRC_PV_GDT_LDT_MAPPING_FAULT = 2101258,
        TRC_PV_PTWR_EMULATION = 2101259,
        TRC_PV_PTWR_EMULATION_PAE = 2101260,
        TRC_PV_HYPERCALL_V2 = 2101261,
        TRC_PV_HYPERCALL_SUBCALL = 2105358,
        TRC_PV_HYPERCALL_V2_ARG_MASK = 0xfff00000,
        TRC_SHADOW_NOT_SHADOW = 4255745,
        TRC_SHADOW_FAST_PROPAGATE = 4255746,
        TRC_SHADOW_FAST_MMIO = 4255747,
        TRC_SHADOW_FALSE_FAST_PATH = 4255748,
        TRC_SHADOW_MMIO = 4255749,
        TRC_SHADOW_FIXUP = 4255750,
        TRC_SHADOW_DOMF_DYING = 4255751,
        TRC_SHADOW_EMULATE = 4255752,
        TRC_SHADOW_EMULATE_UNSHADOW_USER = 4255753,
        TRC_SHADOW_EMULATE_UNSHADOW_EVTINJ = 4255754,
        TRC_SHADOW_EMULATE_UNSHADOW_UNHANDLED = 4255755,
        TRC_SHADOW_WRMAP_BF = 4255756,
        TRC_SHADOW_PREALLOC_UNPIN = 4255757,
        TRC_SHADOW_RESYNC_FULL = 4255758,
        TRC_SHADOW_RESYNC_ONLY = 4255759,
        TRC_HVM_NESTEDFLAG = 0x400,
        TRC_HVM_VMENTRY = 528385,
        TRC_HVM_VMEXIT = 528386,
        TRC_HVM_VMEXIT64 = 528642,
        TRC_HVM_PF_XEN = 532481,
        TRC_HVM_PF_XEN64 = 532737,
        TRC_HVM_PF_INJECT = 532482,
        TRC_HVM_PF_INJECT64 = 532738,
        TRC_HVM_INJ_EXC = 532483,
        TRC_HVM_INJ_VIRQ = 532484,
        TRC_HVM_REINJ_VIRQ = 532485,
        TRC_HVM_IO_READ = 532486,
        TRC_HVM_IO_WRITE = 532487,
        TRC_HVM_CR_READ = 532488,
        TRC_HVM_CR_READ64 = 532744,
        TRC_HVM_CR_WRITE = 532489,
        TRC_HVM_CR_WRITE64 = 532745,
        TRC_HVM_DR_READ = 532490,
        TRC_HVM_DR_WRITE = 532491,
        TRC_HVM_MSR_READ = 532492,
        TRC_HVM_MSR_WRITE = 532493,
        TRC_HVM_CPUID = 532494,
        TRC_HVM_INTR = 532495,
        TRC_HVM_NMI = 532496,
        TRC_HVM_SMI = 532497,
        TRC_HVM_VMMCALL = 532498,
        TRC_HVM_HLT = 532499,
        TRC_HVM_INVLPG = 532500,
        TRC_HVM_INVLPG64 = 532756,
        TRC_HVM_MCE = 532501,
        TRC_HVM_IOPORT_READ = 532502,
        TRC_HVM_IOMEM_READ = 532503,
        TRC_HVM_CLTS = 532504,
        TRC_HVM_LMSW = 532505,
        TRC_HVM_LMSW64 = 532761,
        TRC_HVM_RDTSC = 532506,
        TRC_HVM_INTR_WINDOW = 532512,
        TRC_HVM_NPF = 532513,
        TRC_HVM_REALMODE_EMULATE = 532514,
        TRC_HVM_TRAP = 532515,
        TRC_HVM_TRAP_DEBUG = 532516,
        TRC_HVM_VLAPIC = 532517,
        TRC_HVM_XCR_READ64 = 532774,
        TRC_HVM_XCR_WRITE64 = 532775,
        TRC_HVM_IOPORT_WRITE = 533014,
        TRC_HVM_IOMEM_WRITE = 533015,
        TRC_HVM_EMUL_HPET_START_TIMER = 540673,
        TRC_HVM_EMUL_PIT_START_TIMER = 540674,
        TRC_HVM_EMUL_RTC_START_TIMER = 540675,
        TRC_HVM_EMUL_LAPIC_START_TIMER = 540676,
        TRC_HVM_EMUL_HPET_STOP_TIMER = 540677,
        TRC_HVM_EMUL_PIT_STOP_TIMER = 540678,
        TRC_HVM_EMUL_RTC_STOP_TIMER = 540679,
        TRC_HVM_EMUL_LAPIC_STOP_TIMER = 540680,
        TRC_HVM_EMUL_PIT_TIMER_CB = 540681,
        TRC_HVM_EMUL_LAPIC_TIMER_CB = 540682,
        TRC_HVM_EMUL_PIC_INT_OUTPUT = 540683,
        TRC_HVM_EMUL_PIC_KICK = 540684,
        TRC_HVM_EMUL_PIC_INTACK = 540685,
        TRC_HVM_EMUL_PIC_POSEDGE = 540686,
        TRC_HVM_EMUL_PIC_NEGEDGE = 540687,
        TRC_HVM_EMUL_PIC_PEND_IRQ_CALL = 540688,
        TRC_HVM_EMUL_LAPIC_PIC_INTR = 540689,
        TRC_PM_FREQ_CHANGE = 8392705,
        TRC_PM_IDLE_ENTRY = 8392706,
        TRC_PM_IDLE_EXIT = 8392707,
        TRC_HW_IRQ_MOVE_CLEANUP_DELAY = 8396801,
        TRC_HW_IRQ_MOVE_CLEANUP = 8396802,
        TRC_HW_IRQ_BIND_VECTOR = 8396803,
        TRC_HW_IRQ_CLEAR_VECTOR = 8396804,
        TRC_HW_IRQ_MOVE_FINISH = 8396805,
        TRC_HW_IRQ_ASSIGN_VECTOR = 8396806,
        TRC_HW_IRQ_UNMAPPED_VECTOR = 8396807,
        TRC_HW_IRQ_HANDLED = 8396808,
        /// Addresses are 64 bits (instead of 32 bits)
        TRC_64_FLAG = 0x100,
    }
}

structs! {
    /// `struct t_buf`.
    TBuf = "struct t_buf" {
        /// Offset of next item to be consumed by control tools.
        cons: u32,
        /// Offset of next item to be produced by Xen.
        prod: u32,
    }
    /// `struct t_info`.
    TInfo = "struct t_info" {
        /// Size in pages of each trace buffer
        tbuf_size: u16,
    }
}
