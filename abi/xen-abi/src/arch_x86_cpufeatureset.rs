//! `arch-x86/cpufeatureset.h`: CPU features by their place in a feature set: word times 32 plus bit.

consts! {
    /// CPU feature.
    u32 {
        /// Onboard FPU
        XEN_X86_FEATURE_FPU = 0,
        /// Virtual Mode Extensions
        XEN_X86_FEATURE_VME = 1,
        /// Debugging Extensions
        XEN_X86_FEATURE_DE = 2,
        /// Page Size Extensions
        XEN_X86_FEATURE_PSE = 3,
        /// Time Stamp Counter
        XEN_X86_FEATURE_TSC = 4,
        /// Model-Specific Registers, RDMSR, WRMSR
        XEN_X86_FEATURE_MSR = 5,
        /// Physical Address Extensions
        XEN_X86_FEATURE_PAE = 6,
        /// Machine Check Architecture
        XEN_X86_FEATURE_MCE = 7,
        /// CMPXCHG8 instruction
        XEN_X86_FEATURE_CX8 = 8,
        /// Onboard APIC
        XEN_X86_FEATURE_APIC = 9,
        /// SYSENTER/SYSEXIT
        XEN_X86_FEATURE_SEP = 11,
        /// Memory Type Range Registers
        XEN_X86_FEATURE_MTRR = 12,
        /// Page Global Enable
        XEN_X86_FEATURE_PGE = 13,
        /// Machine Check Architecture
        XEN_X86_FEATURE_MCA = 14,
        /// CMOV instruction (FCMOVCC and FCOMI too if FPU present)
        XEN_X86_FEATURE_CMOV = 15,
        /// Page Attribute Table
        XEN_X86_FEATURE_PAT = 16,
        /// 36-bit PSEs
        XEN_X86_FEATURE_PSE36 = 17,
        /// CLFLUSH instruction
        XEN_X86_FEATURE_CLFLUSH = 19,
        /// Debug Store
        XEN_X86_FEATURE_DS = 21,
        /// ACPI via MSR
        XEN_X86_FEATURE_ACPI = 22,
        /// Multimedia Extensions
        XEN_X86_FEATURE_MMX = 23,
        /// FXSAVE and FXRSTOR instructions
        XEN_X86_FEATURE_FXSR = 24,
        /// Streaming SIMD Extensions
        XEN_X86_FEATURE_SSE = 25,
        /// Streaming SIMD Extensions-2
        XEN_X86_FEATURE_SSE2 = 26,
        /// CPU self snoop
        XEN_X86_FEATURE_SS = 27,
        /// Hyper-Threading Technology
        XEN_X86_FEATURE_HTT = 28,
        /// Thermal Monitor 1
        XEN_X86_FEATURE_TM1 = 29,
        /// Pending Break Enable
        XEN_X86_FEATURE_PBE = 31,
        /// Streaming SIMD Extensions-3
        XEN_X86_FEATURE_SSE3 = 32,
        /// Carry-less multiplication
        XEN_X86_FEATURE_PCLMULQDQ = 33,
        /// 64-bit Debug Store
        XEN_X86_FEATURE_DTES64 = 34,
        /// Monitor/Mwait support
        XEN_X86_FEATURE_MONITOR = 35,
        /// CPL Qualified Debug Store
        XEN_X86_FEATURE_DSCPL = 36,
        /// Virtual Machine Extensions
        XEN_X86_FEATURE_VMX = 37,
        /// Safer Mode Extensions
        XEN_X86_FEATURE_SMX = 38,
        /// Enhanced SpeedStep
        XEN_X86_FEATURE_EIST = 39,
        /// Thermal Monitor 2
        XEN_X86_FEATURE_TM2 = 40,
        /// Supplemental Streaming SIMD Extensions-3
        XEN_X86_FEATURE_SSSE3 = 41,
        /// Fused Multiply Add
        XEN_X86_FEATURE_FMA = 44,
        /// CMPXCHG16B
        XEN_X86_FEATURE_CX16 = 45,
        /// Send Task Priority Messages
        XEN_X86_FEATURE_XTPR = 46,
        /// Perf/Debug Capability MSR
        XEN_X86_FEATURE_PDCM = 47,
        /// Process Context ID
        XEN_X86_FEATURE_PCID = 49,
        /// Direct Cache Access
        XEN_X86_FEATURE_DCA = 50,
        /// Streaming SIMD Extensions 4.1
        XEN_X86_FEATURE_SSE4_1 = 51,
        /// Streaming SIMD Extensions 4.2
        XEN_X86_FEATURE_SSE4_2 = 52,
        /// Extended xAPIC
        XEN_X86_FEATURE_X2APIC = 53,
        /// movbe instruction
        XEN_X86_FEATURE_MOVBE = 54,
        /// POPCNT instruction
        XEN_X86_FEATURE_POPCNT = 55,
        /// TSC Deadline Timer
        XEN_X86_FEATURE_TSC_DEADLINE = 56,
        /// AES instructions
        XEN_X86_FEATURE_AESNI = 57,
        /// XSAVE/XRSTOR/XSETBV/XGETBV
        XEN_X86_FEATURE_XSAVE = 58,
        /// OSXSAVE
        XEN_X86_FEATURE_OSXSAVE = 59,
        /// Advanced Vector Extensions
        XEN_X86_FEATURE_AVX = 60,
        /// Half-precision convert instruction
        XEN_X86_FEATURE_F16C = 61,
        /// Digital Random Number Generator
        XEN_X86_FEATURE_RDRAND = 62,
        /// Running under some hypervisor
        XEN_X86_FEATURE_HYPERVISOR = 63,
        /// SYSCALL/SYSRET
        XEN_X86_FEATURE_SYSCALL = 75,
        /// Execute Disable
        XEN_X86_FEATURE_NX = 84,
        /// AMD MMX extensions
        XEN_X86_FEATURE_MMXEXT = 86,
        /// FFXSR instruction optimizations
        XEN_X86_FEATURE_FFXSR = 89,
        /// 1Gb large page support
        XEN_X86_FEATURE_PAGE1GB = 90,
        /// RDTSCP
        XEN_X86_FEATURE_RDTSCP = 91,
        /// Long Mode (x86-64)
        XEN_X86_FEATURE_LM = 93,
        /// AMD 3DNow! extensions
        XEN_X86_FEATURE_3DNOWEXT = 94,
        /// 3DNow!
        XEN_X86_FEATURE_3DNOW = 95,
        /// LAHF/SAHF in long mode
        XEN_X86_FEATURE_LAHF_LM = 96,
        /// If yes HyperThreading not valid
        XEN_X86_FEATURE_CMP_LEGACY = 97,
        /// Secure virtual machine
        XEN_X86_FEATURE_SVM = 98,
        /// Extended APIC space
        XEN_X86_FEATURE_EXTAPIC = 99,
        /// CR8 in 32-bit mode
        XEN_X86_FEATURE_CR8_LEGACY = 100,
        /// Advanced bit manipulation
        XEN_X86_FEATURE_ABM = 101,
        /// SSE-4A
        XEN_X86_FEATURE_SSE4A = 102,
        /// Misaligned SSE mode
        XEN_X86_FEATURE_MISALIGNSSE = 103,
        /// 3DNow prefetch instructions
        XEN_X86_FEATURE_3DNOWPREFETCH = 104,
        /// OS Visible Workaround
        XEN_X86_FEATURE_OSVW = 105,
        /// Instruction Based Sampling
        XEN_X86_FEATURE_IBS = 106,
        /// extended AVX instructions
        XEN_X86_FEATURE_XOP = 107,
        /// SKINIT/STGI instructions
        XEN_X86_FEATURE_SKINIT = 108,
        /// Watchdog timer
        XEN_X86_FEATURE_WDT = 109,
        /// Light Weight Profiling
        XEN_X86_FEATURE_LWP = 111,
        /// 4 operands MAC instructions
        XEN_X86_FEATURE_FMA4 = 112,
        /// NodeId MSR
        XEN_X86_FEATURE_NODEID_MSR = 115,
        /// trailing bit manipulations
        XEN_X86_FEATURE_TBM = 117,
        /// topology extensions CPUID leafs
        XEN_X86_FEATURE_TOPOEXT = 118,
        /// data breakpoint extension
        XEN_X86_FEATURE_DBEXT = 122,
        /// MONITOR extension (MONITORX/MWAITX)
        XEN_X86_FEATURE_MONITORX = 125,
        /// XSAVEOPT instruction
        XEN_X86_FEATURE_XSAVEOPT = 128,
        /// XSAVEC/XRSTORC instructions
        XEN_X86_FEATURE_XSAVEC = 129,
        /// XGETBV with %ecx=1
        XEN_X86_FEATURE_XGETBV1 = 130,
        /// XSAVES/XRSTORS instructions
        XEN_X86_FEATURE_XSAVES = 131,
        /// {RD,WR}{FS,GS}BASE instructions
        XEN_X86_FEATURE_FSGSBASE = 160,
        /// TSC_ADJUST MSR available
        XEN_X86_FEATURE_TSC_ADJUST = 161,
        /// Software Guard extensions
        XEN_X86_FEATURE_SGX = 162,
        /// 1st bit manipulation extensions
        XEN_X86_FEATURE_BMI1 = 163,
        /// Hardware Lock Elision
        XEN_X86_FEATURE_HLE = 164,
        /// AVX2 instructions
        XEN_X86_FEATURE_AVX2 = 165,
        /// x87 FDP only updated on exception.
        XEN_X86_FEATURE_FDP_EXCP_ONLY = 166,
        /// Supervisor Mode Execution Protection
        XEN_X86_FEATURE_SMEP = 167,
        /// 2nd bit manipulation extensions
        XEN_X86_FEATURE_BMI2 = 168,
        /// Enhanced REP MOVSB/STOSB
        XEN_X86_FEATURE_ERMS = 169,
        /// Invalidate Process Context ID
        XEN_X86_FEATURE_INVPCID = 170,
        /// Restricted Transactional Memory
        XEN_X86_FEATURE_RTM = 171,
        /// Platform QoS Monitoring
        XEN_X86_FEATURE_PQM = 172,
        /// FPU CS/DS stored as zero
        XEN_X86_FEATURE_NO_FPU_SEL = 173,
        /// Memory Protection Extensions
        XEN_X86_FEATURE_MPX = 174,
        /// Platform QoS Enforcement
        XEN_X86_FEATURE_PQE = 175,
        /// AVX-512 Foundation Instructions
        XEN_X86_FEATURE_AVX512F = 176,
        /// AVX-512 Doubleword & Quadword Instrs
        XEN_X86_FEATURE_AVX512DQ = 177,
        /// RDSEED instruction
        XEN_X86_FEATURE_RDSEED = 178,
        /// ADCX, ADOX instructions
        XEN_X86_FEATURE_ADX = 179,
        /// Supervisor Mode Access Prevention
        XEN_X86_FEATURE_SMAP = 180,
        /// AVX-512 Integer Fused Multiply Add
        XEN_X86_FEATURE_AVX512_IFMA = 181,
        /// CLFLUSHOPT instruction
        XEN_X86_FEATURE_CLFLUSHOPT = 183,
        /// CLWB instruction
        XEN_X86_FEATURE_CLWB = 184,
        /// Processor Trace
        XEN_X86_FEATURE_PROC_TRACE = 185,
        /// AVX-512 Prefetch Instructions
        XEN_X86_FEATURE_AVX512PF = 186,
        /// AVX-512 Exponent & Reciprocal Instrs
        XEN_X86_FEATURE_AVX512ER = 187,
        /// AVX-512 Conflict Detection Instrs
        XEN_X86_FEATURE_AVX512CD = 188,
        /// SHA1 & SHA256 instructions
        XEN_X86_FEATURE_SHA = 189,
        /// AVX-512 Byte and Word Instructions
        XEN_X86_FEATURE_AVX512BW = 190,
        /// AVX-512 Vector Length Extensions
        XEN_X86_FEATURE_AVX512VL = 191,
        /// PREFETCHWT1 instruction
        XEN_X86_FEATURE_PREFETCHWT1 = 192,
        /// AVX-512 Vector Byte Manipulation Instrs
        XEN_X86_FEATURE_AVX512_VBMI = 193,
        /// User Mode Instruction Prevention
        XEN_X86_FEATURE_UMIP = 194,
        /// Protection Keys for Userspace
        XEN_X86_FEATURE_PKU = 195,
        /// OS Protection Keys Enable
        XEN_X86_FEATURE_OSPKE = 196,
        /// Additional AVX-512 Vector Byte Manipulation Instrs
        XEN_X86_FEATURE_AVX512_VBMI2 = 198,
        /// CET - Shadow Stacks
        XEN_X86_FEATURE_CET_SS = 199,
        /// Galois Field Instrs
        XEN_X86_FEATURE_GFNI = 200,
        /// Vector AES Instrs
        XEN_X86_FEATURE_VAES = 201,
        /// Vector Carry-less Multiplication Instrs
        XEN_X86_FEATURE_VPCLMULQDQ = 202,
        /// Vector Neural Network Instrs
        XEN_X86_FEATURE_AVX512_VNNI = 203,
        /// Support for VPOPCNT\[B,W\] and VPSHUFBITQMB
        XEN_X86_FEATURE_AVX512_BITALG = 204,
        /// POPCNT for vectors of DW/QW
        XEN_X86_FEATURE_AVX512_VPOPCNTDQ = 206,
        /// RDPID instruction
        XEN_X86_FEATURE_RDPID = 214,
        /// CLDEMOTE instruction
        XEN_X86_FEATURE_CLDEMOTE = 217,
        /// MOVDIRI instruction
        XEN_X86_FEATURE_MOVDIRI = 219,
        /// MOVDIR64B instruction
        XEN_X86_FEATURE_MOVDIR64B = 220,
        /// ENQCMD{,S} instructions
        XEN_X86_FEATURE_ENQCMD = 221,
        /// Hardware Pstates
        XEN_X86_FEATURE_HW_PSTATE = 231,
        /// Invariant TSC
        XEN_X86_FEATURE_ITSC = 232,
        /// Core Performance Boost (Turbo)
        XEN_X86_FEATURE_CPB = 233,
        /// APERF/MPERF Read Only interface
        XEN_X86_FEATURE_EFRO = 234,
        /// CLZERO instruction
        XEN_X86_FEATURE_CLZERO = 256,
        /// (F)X{SAVE,RSTOR} always saves/restores FPU Error pointers
        XEN_X86_FEATURE_RSTR_FP_ERR_PTRS = 258,
        /// WBNOINVD instruction
        XEN_X86_FEATURE_WBNOINVD = 265,
        /// IBPB support only (no IBRS, used by AMD)
        XEN_X86_FEATURE_IBPB = 268,
        /// MSR_SPEC_CTRL.IBRS
        XEN_X86_FEATURE_IBRS = 270,
        /// MSR_SPEC_CTRL.STIBP
        XEN_X86_FEATURE_AMD_STIBP = 271,
        /// IBRS preferred always on
        XEN_X86_FEATURE_IBRS_ALWAYS = 272,
        /// STIBP preferred always on
        XEN_X86_FEATURE_STIBP_ALWAYS = 273,
        /// IBRS preferred over software options
        XEN_X86_FEATURE_IBRS_FAST = 274,
        /// IBRS provides same-mode protection
        XEN_X86_FEATURE_IBRS_SAME_MODE = 275,
        /// EFER.LMSLE no longer supported.
        XEN_X86_FEATURE_NO_LMSL = 276,
        /// Protected Processor Inventory Number
        XEN_X86_FEATURE_AMD_PPIN = 279,
        /// MSR_SPEC_CTRL.SSBD available
        XEN_X86_FEATURE_AMD_SSBD = 280,
        /// MSR_VIRT_SPEC_CTRL.SSBD
        XEN_X86_FEATURE_VIRT_SSBD = 281,
        /// Hardware not vulnerable to SSB
        XEN_X86_FEATURE_SSB_NO = 282,
        /// MSR_SPEC_CTRL.PSFD
        XEN_X86_FEATURE_PSFD = 284,
        /// Hardware not vulnerable to Branch Type Confusion
        XEN_X86_FEATURE_BTC_NO = 285,
        /// IBPB clears RSB/RAS too.
        XEN_X86_FEATURE_IBPB_RET = 286,
        /// AVX512 Neural Network Instructions
        XEN_X86_FEATURE_AVX512_4VNNIW = 290,
        /// AVX512 Multiply Accumulation Single Precision
        XEN_X86_FEATURE_AVX512_4FMAPS = 291,
        /// Fast Short REP MOVS
        XEN_X86_FEATURE_FSRM = 292,
        /// VP2INTERSECT{D,Q} insns
        XEN_X86_FEATURE_AVX512_VP2INTERSECT = 296,
        /// MSR_MCU_OPT_CTRL and RNGDS_MITG_DIS.
        XEN_X86_FEATURE_SRBDS_CTRL = 297,
        /// VERW clears microarchitectural buffers
        XEN_X86_FEATURE_MD_CLEAR = 298,
        /// RTM disabled (but XBEGIN wont fault)
        XEN_X86_FEATURE_RTM_ALWAYS_ABORT = 299,
        /// MSR_TSX_FORCE_ABORT.RTM_ABORT
        XEN_X86_FEATURE_TSX_FORCE_ABORT = 301,
        /// SERIALIZE insn
        XEN_X86_FEATURE_SERIALIZE = 302,
        /// Heterogeneous platform
        XEN_X86_FEATURE_HYBRID = 303,
        /// TSX load tracking suspend/resume insns
        XEN_X86_FEATURE_TSXLDTRK = 304,
        /// CET - Indirect Branch Tracking
        XEN_X86_FEATURE_CET_IBT = 308,
        /// AVX512 FP16 instructions
        XEN_X86_FEATURE_AVX512_FP16 = 311,
        /// IBRS and IBPB support (used by Intel)
        XEN_X86_FEATURE_IBRSB = 314,
        /// STIBP
        XEN_X86_FEATURE_STIBP = 315,
        /// MSR_FLUSH_CMD and L1D flush.
        XEN_X86_FEATURE_L1D_FLUSH = 316,
        /// IA32_ARCH_CAPABILITIES MSR
        XEN_X86_FEATURE_ARCH_CAPS = 317,
        /// IA32_CORE_CAPABILITIES MSR
        XEN_X86_FEATURE_CORE_CAPS = 318,
        /// MSR_SPEC_CTRL.SSBD available
        XEN_X86_FEATURE_SSBD = 319,
        /// AVX-VNNI Instructions
        XEN_X86_FEATURE_AVX_VNNI = 324,
        /// AVX512 BFloat16 Instructions
        XEN_X86_FEATURE_AVX512_BF16 = 325,
        /// Fast Zero-length REP MOVSB
        XEN_X86_FEATURE_FZRM = 330,
        /// Fast Short REP STOSB
        XEN_X86_FEATURE_FSRS = 331,
        /// Fast Short REP CMPSB/SCASB
        XEN_X86_FEATURE_FSRCS = 332,
        /// LFENCE always serializing
        XEN_X86_FEATURE_LFENCE_DISPATCH = 354,
        /// VERW clears microarchitectural buffers
        XEN_X86_FEATURE_VERW_CLEAR = 357,
        /// Null Selector Clears Base (and limit too)
        XEN_X86_FEATURE_NSCB = 358,
        /// Automatic IBRS
        XEN_X86_FEATURE_AUTO_IBRS = 360,
        /// Selective Branch Predictor Barrier
        XEN_X86_FEATURE_SBPB = 379,
        /// IBPB flushes Branch Type predictions too
        XEN_X86_FEATURE_IBPB_BRTYPE = 380,
        /// Hardware not vulnerable to Speculative Return Stack Overflow
        XEN_X86_FEATURE_SRSO_NO = 381,
        /// Hardware not vulnerable to SRSO across the User/Supervisor boundary
        XEN_X86_FEATURE_SRSO_US_NO = 382,
        /// MSR_BP_CFG.BP_SPEC_REDUCE available
        XEN_X86_FEATURE_SRSO_MSR_FIX = 383,
        /// Protected Processor Inventory Number
        XEN_X86_FEATURE_INTEL_PPIN = 384,
        /// MSR_SPEC_CTRL.PSFD
        XEN_X86_FEATURE_INTEL_PSFD = 416,
        /// MSR_SPEC_CTRL.IPRED_DIS_*
        XEN_X86_FEATURE_IPRED_CTRL = 417,
        /// MSR_SPEC_CTRL.RRSBA_DIS_*
        XEN_X86_FEATURE_RRSBA_CTRL = 418,
        /// MSR_SPEC_CTRL.BHI_DIS_S
        XEN_X86_FEATURE_BHI_CTRL = 420,
        /// MCDT_NO
        XEN_X86_FEATURE_MCDT_NO = 421,
        /// CET Supervisor Shadow Stacks safe to use
        XEN_X86_FEATURE_CET_SSS = 498,
        /// No Rogue Data Cache Load (Meltdown)
        XEN_X86_FEATURE_RDCL_NO = 512,
        /// Enhanced IBRS
        XEN_X86_FEATURE_EIBRS = 513,
        /// RSB Alternative (Retpoline not safe)
        XEN_X86_FEATURE_RSBA = 514,
        /// Don't need to flush L1D on VMEntry
        XEN_X86_FEATURE_SKIP_L1DFL = 515,
        /// No Speculative Store Bypass
        XEN_X86_FEATURE_INTEL_SSB_NO = 516,
        /// No Microarchitectural Data Sampling
        XEN_X86_FEATURE_MDS_NO = 517,
        /// No Instruction fetch #MC
        XEN_X86_FEATURE_IF_PSCHANGE_MC_NO = 518,
        /// MSR_TSX_CTRL
        XEN_X86_FEATURE_TSX_CTRL = 519,
        /// No TSX Async Abort
        XEN_X86_FEATURE_TAA_NO = 520,
        /// MSR_MCU_CTRL
        XEN_X86_FEATURE_MCU_CTRL = 521,
        /// MSR_MISC_PKG_CTRL
        XEN_X86_FEATURE_MISC_PKG_CTRL = 522,
        /// MSR_MISC_PKG_CTRL.ENERGY_FILTERING
        XEN_X86_FEATURE_ENERGY_FILTERING = 523,
        /// Data Operand Invariant Timing Mode
        XEN_X86_FEATURE_DOITM = 524,
        /// No Shared Buffer Data Read or Sideband Stale Data Propagation
        XEN_X86_FEATURE_SBDR_SSDP_NO = 525,
        /// No Fill Buffer Stale Data Propagation
        XEN_X86_FEATURE_FBSDP_NO = 526,
        /// No Primary Stale Data Propagation
        XEN_X86_FEATURE_PSDP_NO = 527,
        /// Fill Buffers cleared by VERW
        XEN_X86_FEATURE_FB_CLEAR = 529,
        /// MSR_OPT_CPU_CTRL.FB_CLEAR_DIS
        XEN_X86_FEATURE_FB_CLEAR_CTRL = 530,
        /// Restricted RSB Alternative
        XEN_X86_FEATURE_RRSBA = 531,
        /// No Branch History Injection
        XEN_X86_FEATURE_BHI_NO = 532,
        /// MSR_XAPIC_DISABLE_STATUS
        XEN_X86_FEATURE_XAPIC_STATUS = 533,
        /// MSR_OVERCLOCKING_STATUS
        XEN_X86_FEATURE_OVRCLK_STATUS = 535,
        /// No Post-Barrier RSB predictions
        XEN_X86_FEATURE_PBRSB_NO = 536,
        /// MCU_OPT_CTRL.GDS_MIT_{DIS,LOCK}
        XEN_X86_FEATURE_GDS_CTRL = 537,
        /// No Gather Data Sampling
        XEN_X86_FEATURE_GDS_NO = 538,
        /// No Register File Data Sampling
        XEN_X86_FEATURE_RFDS_NO = 539,
        /// Register File(s) cleared by VERW
        XEN_X86_FEATURE_RFDS_CLEAR = 540,
        /// No Indirect Target Selection
        XEN_X86_FEATURE_ITS_NO = 574,
        /// No Store Queue Transitive Scheduler Attacks
        XEN_X86_FEATURE_TSA_SQ_NO = 577,
        /// No L1D Transitive Scheduler Attacks
        XEN_X86_FEATURE_TSA_L1_NO = 578,
    }
}

structs! {}
