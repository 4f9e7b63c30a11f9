//! Message types (`enum xsd_sockmsg_type`).

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $c:literal;)*) => {
        /// The type of a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum MsgType { $($(#[$doc])* $name = $n,)* }

        impl MsgType {
            /// Every type, in numeric order.
            pub const ALL: &'static [MsgType] = &[$(MsgType::$name,)*];

            /// The type with this number, if there is one.
            pub const fn from_u32(n: u32) -> Option<MsgType> {
                match n { $($n => Some(MsgType::$name),)* _ => None }
            }

            /// The number on the wire.
            pub const fn as_u32(self) -> u32 {
                match self { $(MsgType::$name => $n,)* }
            }

            /// The name in the protocol's documentation.
            pub const fn name(self) -> &'static str {
                match self { $(MsgType::$name => $c,)* }
            }
        }
    };
}

kinds! {
    /// Talks to the daemon itself (once called DEBUG).
    Control = 0, "CONTROL";
    /// Lists a node's children.
    Directory = 1, "DIRECTORY";
    /// Reads a node's value.
    Read = 2, "READ";
    /// Reads a node's permissions.
    GetPerms = 3, "GET_PERMS";
    /// Sets up a watch.
    Watch = 4, "WATCH";
    /// Removes a watch.
    Unwatch = 5, "UNWATCH";
    /// Starts a transaction.
    TransactionStart = 6, "TRANSACTION_START";
    /// Commits or drops a transaction.
    TransactionEnd = 7, "TRANSACTION_END";
    /// Connects a domain's ring.
    Introduce = 8, "INTRODUCE";
    /// Disconnects a domain's ring.
    Release = 9, "RELEASE";
    /// Tells a domain's home path.
    GetDomainPath = 10, "GET_DOMAIN_PATH";
    /// Writes a node's value.
    Write = 11, "WRITE";
    /// Makes a node without a value.
    Mkdir = 12, "MKDIR";
    /// Removes a node and all below it.
    Rm = 13, "RM";
    /// Replaces a node's permissions.
    SetPerms = 14, "SET_PERMS";
    /// An event, from the daemon only.
    WatchEvent = 15, "WATCH_EVENT";
    /// An error reply, from the daemon only.
    Error = 16, "ERROR";
    /// Asks whether a domain is connected.
    IsDomainIntroduced = 17, "IS_DOMAIN_INTRODUCED";
    /// Rearms the shutdown event of a domain.
    Resume = 18, "RESUME";
    /// Gives a domain the rights of another.
    SetTarget = 19, "SET_TARGET";
    /// Drops the caller's watches and transactions. (20 was RESTRICT and is gone.)
    ResetWatches = 21, "RESET_WATCHES";
    /// Lists a part of a long list of children.
    DirectoryPart = 22, "DIRECTORY_PART";
}
