//! The features of arch-x86/cpufeatureset.h, and which of them a PV guest may have.

/// Words of a feature set (the X86 featureset of the public header).
pub const WORDS: usize = 20;

/// A set of features: bit `n % 32` of word `n / 32` for feature `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeatureSet(pub [u32; WORDS]);

impl FeatureSet {
    /// Whether it holds a feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.get(feature.word()).is_some_and(|word| word >> feature.bit() & 1 != 0)
    }
    /// Adds a feature.
    pub fn set(&mut self, feature: Feature) {
        if let Some(word) = self.0.get_mut(feature.word()) {
            *word |= 1 << feature.bit();
        }
    }
    /// Takes a feature out.
    pub fn clear(&mut self, feature: Feature) {
        if let Some(word) = self.0.get_mut(feature.word()) {
            *word &= !(1 << feature.bit());
        }
    }
    /// Keeps what both hold.
    pub fn and(&self, other: &FeatureSet) -> FeatureSet {
        let mut both = *self;
        both.0.iter_mut().zip(other.0).for_each(|(to, from)| *to &= from);
        both
    }
    /// A word (0 beyond the last).
    pub fn word(&self, n: usize) -> u32 {
        self.0.get(n).copied().unwrap_or(0)
    }
}

/// One feature: its number in the public header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature(pub u16);

impl Feature {
    const fn word(self) -> usize {
        self.0 as usize / 32
    }
    const fn bit(self) -> u32 {
        self.0 as u32 % 32
    }
}

/// To which PV guests a feature may be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Guests {
    /// By default.
    Pv,
    /// When the toolstack asks for it.
    PvOptIn,
    /// By rules of its own (OSXSAVE follows the guest's CR4, for example).
    Special,
    /// None.
    No,
}

macro_rules! features {
    ($($name:ident $word:literal $bit:literal $guests:ident;)*) => {
        $(
            #[doc = concat!("Word ", $word, ", bit ", $bit, ".")]
            pub const $name: Feature = Feature($word * 32 + $bit);
        )*
        const TABLE: &[(Feature, Guests)] = &[$(($name, Guests::$guests)),*];
    };
}

features! {
    FPU 0 0 Pv;
    VME 0 1 No;
    DE 0 2 Pv;
    PSE 0 3 No;
    TSC 0 4 Pv;
    MSR 0 5 Pv;
    PAE 0 6 Pv;
    MCE 0 7 Pv;
    CX8 0 8 Pv;
    APIC 0 9 Pv;
    SEP 0 11 Pv;
    MTRR 0 12 No;
    PGE 0 13 No;
    MCA 0 14 Pv;
    CMOV 0 15 Pv;
    PAT 0 16 Pv;
    PSE36 0 17 No;
    CLFLUSH 0 19 Pv;
    DS 0 21 No;
    ACPI 0 22 Pv;
    MMX 0 23 Pv;
    FXSR 0 24 Pv;
    SSE 0 25 Pv;
    SSE2 0 26 Pv;
    SS 0 27 Pv;
    HTT 0 28 Pv;
    TM1 0 29 No;
    PBE 0 31 No;
    SSE3 1 0 Pv;
    PCLMULQDQ 1 1 Pv;
    DTES64 1 2 No;
    MONITOR 1 3 No;
    DSCPL 1 4 No;
    VMX 1 5 No;
    SMX 1 6 No;
    EIST 1 7 No;
    TM2 1 8 No;
    SSSE3 1 9 Pv;
    FMA 1 12 Pv;
    CX16 1 13 Pv;
    XTPR 1 14 No;
    PDCM 1 15 No;
    PCID 1 17 No;
    DCA 1 18 No;
    SSE4_1 1 19 Pv;
    SSE4_2 1 20 Pv;
    X2APIC 1 21 No;
    MOVBE 1 22 Pv;
    POPCNT 1 23 Pv;
    TSC_DEADLINE 1 24 No;
    AESNI 1 25 Pv;
    XSAVE 1 26 Pv;
    OSXSAVE 1 27 Special;
    AVX 1 28 Pv;
    F16C 1 29 Pv;
    RDRAND 1 30 Pv;
    HYPERVISOR 1 31 Pv;
    SYSCALL 2 11 Pv;
    NX 2 20 Pv;
    MMXEXT 2 22 Pv;
    FFXSR 2 25 Pv;
    PAGE1GB 2 26 No;
    RDTSCP 2 27 Pv;
    LM 2 29 Pv;
    _3DNOWEXT 2 30 Pv;
    _3DNOW 2 31 Pv;
    LAHF_LM 3 0 Pv;
    CMP_LEGACY 3 1 Pv;
    SVM 3 2 No;
    EXTAPIC 3 3 No;
    CR8_LEGACY 3 4 No;
    ABM 3 5 Pv;
    SSE4A 3 6 Pv;
    MISALIGNSSE 3 7 Pv;
    _3DNOWPREFETCH 3 8 Pv;
    OSVW 3 9 No;
    IBS 3 10 No;
    XOP 3 11 Pv;
    SKINIT 3 12 No;
    WDT 3 13 No;
    LWP 3 15 No;
    FMA4 3 16 Pv;
    NODEID_MSR 3 19 No;
    TBM 3 21 Pv;
    TOPOEXT 3 22 No;
    DBEXT 3 26 Pv;
    MONITORX 3 29 No;
    XSAVEOPT 4 0 Pv;
    XSAVEC 4 1 Pv;
    XGETBV1 4 2 Pv;
    XSAVES 4 3 No;
    FSGSBASE 5 0 Pv;
    TSC_ADJUST 5 1 No;
    SGX 5 2 No;
    BMI1 5 3 Pv;
    HLE 5 4 PvOptIn;
    AVX2 5 5 Pv;
    FDP_EXCP_ONLY 5 6 Special;
    SMEP 5 7 No;
    BMI2 5 8 Pv;
    ERMS 5 9 Pv;
    INVPCID 5 10 No;
    RTM 5 11 Pv;
    PQM 5 12 No;
    NO_FPU_SEL 5 13 Special;
    MPX 5 14 No;
    PQE 5 15 No;
    AVX512F 5 16 Pv;
    AVX512DQ 5 17 Pv;
    RDSEED 5 18 Pv;
    ADX 5 19 Pv;
    SMAP 5 20 No;
    AVX512_IFMA 5 21 Pv;
    CLFLUSHOPT 5 23 Pv;
    CLWB 5 24 Pv;
    PROC_TRACE 5 25 No;
    AVX512PF 5 26 Pv;
    AVX512ER 5 27 Pv;
    AVX512CD 5 28 Pv;
    SHA 5 29 Pv;
    AVX512BW 5 30 Pv;
    AVX512VL 5 31 Pv;
    PREFETCHWT1 6 0 Pv;
    AVX512_VBMI 6 1 Pv;
    UMIP 6 2 No;
    PKU 6 3 No;
    OSPKE 6 4 Special;
    AVX512_VBMI2 6 6 Pv;
    CET_SS 6 7 No;
    GFNI 6 8 Pv;
    VAES 6 9 Pv;
    VPCLMULQDQ 6 10 Pv;
    AVX512_VNNI 6 11 Pv;
    AVX512_BITALG 6 12 Pv;
    AVX512_VPOPCNTDQ 6 14 Pv;
    RDPID 6 22 Pv;
    CLDEMOTE 6 25 Pv;
    MOVDIRI 6 27 PvOptIn;
    MOVDIR64B 6 28 PvOptIn;
    ENQCMD 6 29 No;
    HW_PSTATE 7 7 No;
    ITSC 7 8 PvOptIn;
    CPB 7 9 No;
    EFRO 7 10 No;
    CLZERO 8 0 Pv;
    RSTR_FP_ERR_PTRS 8 2 Pv;
    WBNOINVD 8 9 No;
    IBPB 8 12 Pv;
    IBRS 8 14 No;
    AMD_STIBP 8 15 No;
    IBRS_ALWAYS 8 16 No;
    STIBP_ALWAYS 8 17 No;
    IBRS_FAST 8 18 No;
    IBRS_SAME_MODE 8 19 No;
    NO_LMSL 8 20 No;
    AMD_PPIN 8 23 No;
    AMD_SSBD 8 24 No;
    VIRT_SSBD 8 25 Special;
    SSB_NO 8 26 Pv;
    PSFD 8 28 No;
    BTC_NO 8 29 Pv;
    IBPB_RET 8 30 Pv;
    AVX512_4VNNIW 9 2 Pv;
    AVX512_4FMAPS 9 3 Pv;
    FSRM 9 4 Pv;
    AVX512_VP2INTERSECT 9 8 PvOptIn;
    SRBDS_CTRL 9 9 No;
    MD_CLEAR 9 10 Pv;
    RTM_ALWAYS_ABORT 9 11 Special;
    TSX_FORCE_ABORT 9 13 No;
    SERIALIZE 9 14 Pv;
    HYBRID 9 15 No;
    TSXLDTRK 9 16 PvOptIn;
    CET_IBT 9 20 No;
    AVX512_FP16 9 23 No;
    IBRSB 9 26 Pv;
    STIBP 9 27 Pv;
    L1D_FLUSH 9 28 No;
    ARCH_CAPS 9 29 Pv;
    CORE_CAPS 9 30 No;
    SSBD 9 31 Pv;
    AVX_VNNI 10 4 Pv;
    AVX512_BF16 10 5 Pv;
    FZRM 10 10 Pv;
    FSRS 10 11 Pv;
    FSRCS 10 12 Pv;
    LFENCE_DISPATCH 11 2 Pv;
    VERW_CLEAR 11 5 Pv;
    NSCB 11 6 Pv;
    AUTO_IBRS 11 8 No;
    SBPB 11 27 Pv;
    IBPB_BRTYPE 11 28 Pv;
    SRSO_NO 11 29 Pv;
    SRSO_US_NO 11 30 Pv;
    SRSO_MSR_FIX 11 31 No;
    INTEL_PPIN 12 0 No;
    INTEL_PSFD 13 0 Pv;
    IPRED_CTRL 13 1 No;
    RRSBA_CTRL 13 2 No;
    BHI_CTRL 13 4 No;
    MCDT_NO 13 5 Pv;
    CET_SSS 15 18 No;
    RDCL_NO 16 0 Pv;
    EIBRS 16 1 Pv;
    RSBA 16 2 Special;
    SKIP_L1DFL 16 3 No;
    INTEL_SSB_NO 16 4 Pv;
    MDS_NO 16 5 Pv;
    IF_PSCHANGE_MC_NO 16 6 Pv;
    TSX_CTRL 16 7 No;
    TAA_NO 16 8 Pv;
    MCU_CTRL 16 9 No;
    MISC_PKG_CTRL 16 10 No;
    ENERGY_FILTERING 16 11 No;
    DOITM 16 12 No;
    SBDR_SSDP_NO 16 13 Pv;
    FBSDP_NO 16 14 Pv;
    PSDP_NO 16 15 Pv;
    FB_CLEAR 16 17 Pv;
    FB_CLEAR_CTRL 16 18 No;
    RRSBA 16 19 Special;
    BHI_NO 16 20 Pv;
    XAPIC_STATUS 16 21 No;
    OVRCLK_STATUS 16 23 No;
    PBRSB_NO 16 24 Pv;
    GDS_CTRL 16 25 No;
    GDS_NO 16 26 Pv;
    RFDS_NO 16 27 Pv;
    RFDS_CLEAR 16 28 Pv;
    ITS_NO 17 30 Pv;
    TSA_SQ_NO 18 1 Pv;
    TSA_L1_NO 18 2 Pv;
}

/// What a PV guest has by default, where the machine has it.
pub fn pv_default() -> FeatureSet {
    chosen(|guests| guests == Guests::Pv)
}

/// The most that a PV guest may be given.
pub fn pv_max() -> FeatureSet {
    chosen(|guests| matches!(guests, Guests::Pv | Guests::PvOptIn))
}

fn chosen(mut want: impl FnMut(Guests) -> bool) -> FeatureSet {
    let mut set = FeatureSet::default();
    TABLE.iter().filter(|(_, guests)| want(*guests)).for_each(|(feature, _)| set.set(*feature));
    set
}

/// A feature, and those that mean nothing without it.
const DEPENDENTS: &[(Feature, &[Feature])] = &[
    (FPU, &[MMX, FXSR]),
    (MMX, &[MMXEXT, _3DNOW]),
    (_3DNOW, &[_3DNOWEXT]),
    (FXSR, &[FFXSR, SSE]),
    (SSE, &[SSE2, MISALIGNSSE]),
    (SSE2, &[LM, SSE3, SSE4A, AESNI, PCLMULQDQ, SHA, GFNI]),
    (SSE3, &[SSSE3]),
    (SSSE3, &[SSE4_1]),
    (SSE4_1, &[SSE4_2]),
    (PAE, &[LM]),
    (LM, &[CX16, PCID, LAHF_LM, PAGE1GB, PKU]),
    (XSAVE, &[XSAVEOPT, XSAVEC, XGETBV1, XSAVES, AVX, MPX, PKU, LWP]),
    (AVX, &[FMA, FMA4, F16C, AVX2, XOP, VAES, VPCLMULQDQ]),
    (AVX2, &[AVX512F, AVX_VNNI]),
    (
        AVX512F,
        &[
            AVX512DQ,
            AVX512_IFMA,
            AVX512PF,
            AVX512ER,
            AVX512CD,
            AVX512BW,
            AVX512VL,
            AVX512_4VNNIW,
            AVX512_4FMAPS,
            AVX512_VNNI,
            AVX512_VPOPCNTDQ,
            AVX512_VP2INTERSECT,
        ],
    ),
    (AVX512BW, &[AVX512_VBMI, AVX512_VBMI2, AVX512_BITALG, AVX512_BF16, AVX512_FP16]),
    (TSC, &[RDTSCP, TSC_ADJUST, TSC_DEADLINE, ITSC]),
    (APIC, &[X2APIC, TSC_DEADLINE, EXTAPIC]),
    (CX8, &[CX16]),
    (HLE, &[]),
    (RTM, &[TSXLDTRK]),
    (SVM, &[]),
    (ARCH_CAPS, &[RDCL_NO, EIBRS, INTEL_SSB_NO, MDS_NO, TAA_NO, GDS_NO, RFDS_NO, FB_CLEAR, RFDS_CLEAR]),
];

impl FeatureSet {
    /// Takes out what depends on something that is not there.
    pub fn without_orphans(mut self) -> FeatureSet {
        // Chains are as long as the table at most, so this many passes settle them whatever its order.
        for _ in DEPENDENTS {
            for (feature, dependents) in DEPENDENTS {
                if !self.has(*feature) {
                    dependents.iter().for_each(|dependent| self.clear(*dependent));
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_public_header() {
        let Ok(header) = std::fs::read_to_string("/usr/include/xen/arch-x86/cpufeatureset.h") else {
            eprintln!("skipped: libxen-dev is not installed");
            return;
        };
        let mut seen = 0;
        for line in header.lines().filter(|line| line.starts_with("XEN_CPUFEATURE(")) {
            let number = line.split_once(',').unwrap().1.split_once(')').unwrap().0.replace(' ', "");
            let (word, bit) = number.split_once("*32+").unwrap();
            let number = word.parse::<u16>().unwrap() * 32 + bit.parse::<u16>().unwrap();
            let attributes = line.split_once("/*").unwrap().1.split(' ').next().unwrap();
            let (_, guests) = TABLE.iter().find(|(feature, _)| feature.0 == number).expect(line);
            assert_eq!(attributes.contains('A'), *guests == Guests::Pv, "{line}");
            assert_eq!(attributes.contains('a'), *guests == Guests::PvOptIn, "{line}");
            seen += 1;
        }
        assert!(seen > 0 && TABLE.len() >= seen);
    }

    #[test]
    fn nothing_stays_without_what_it_needs() {
        let mut set = pv_max();
        set.clear(XSAVE);
        let set = set.without_orphans();
        for feature in [AVX, AVX2, AVX512F, AVX512_FP16, VAES, FMA, XSAVEC] {
            assert!(!set.has(feature), "{feature:?}");
        }
        assert!(set.has(SSE4_2) && set.has(LM));
    }

    #[test]
    fn no_guest_is_shown_what_pv_cannot_do() {
        for feature in [VMX, SVM, PCID, MTRR, X2APIC, MONITOR, SMEP, SMAP, UMIP, PSE, PGE, VME, INVPCID, PKU, XSAVES] {
            assert!(!pv_max().has(feature), "{feature:?}");
        }
        for feature in [NX, LM, SYSCALL, DE, PAE, FSGSBASE, XSAVE] {
            assert!(pv_default().has(feature), "{feature:?}");
        }
        assert!(!pv_default().has(ITSC) && pv_max().has(ITSC));
    }
}
