//! The table of what can be wrong with a request's framing.

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reject {
    /// Status of the answer.
    pub(crate) status: u16,
    /// A word for logs and answers: of lower-case letters, digits and underscores. Never changes.
    pub(crate) reason: &'static str,
}

macro_rules! faults {
    ($($(#[doc = $means:literal])+ $name:ident = $status:literal $reason:literal;)+) => {
        /// One byte for a row of the table.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Fault {
            $($(#[doc = $means])+ $name,)+
        }

        impl Fault {
            pub(super) fn reject(self) -> Reject {
                match self {
                    $(Fault::$name => Reject { status: $status, reason: $reason },)+
                }
            }
        }

        #[cfg(test)]
        /// All rows, each with the sentences that say what it means.
        pub(crate) const REJECTS: &[(Reject, &str)] =
            &[$((Reject { status: $status, reason: $reason }, concat!($($means),+)),)+];
    };
}

faults! {
    /// The method does not consist of 3 to 20 upper-case letters, digits or token characters other
    /// than `#`, or the first byte cannot begin one: it is no HTTP.
    MethodInvalid = 400 "method_invalid";
    /// More than one empty line before a request line.
    BlankLines = 400 "blank_lines";
    /// A line ends with LF alone (RFC 9112 §2.2).
    BareLf = 400 "bare_lf";
    /// A CR without LF (RFC 9112 §2.2).
    BareCr = 400 "bare_cr";
    /// The request line is not three words with one space between them (RFC 9112 §3).
    RequestLineInvalid = 400 "request_line_invalid";
    /// The request line is longer than allowed.
    RequestLineTooLong = 414 "request_line_too_long";
    /// The target is empty or has bytes that no URI has.
    TargetInvalid = 400 "target_invalid";
    /// `*` as the target of another method than OPTIONS (RFC 9112 §3.2.4).
    TargetAsterisk = 400 "target_asterisk";
    /// A target that is neither a path nor a URL, of another method than CONNECT (RFC 9112 §3.2.3).
    TargetAuthority = 400 "target_authority";
    /// A URL of another scheme than http or https as the target.
    TargetScheme = 400 "target_scheme";
    /// A CONNECT to anything but a host and a port (RFC 9110 §9.3.6).
    TargetOfConnect = 400 "target_of_connect";
    /// The version is neither HTTP/1.0 nor HTTP/1.1. RFC 9110 §15.6.6 would let 505 be said;
    /// Gunicorn and hyper say 400.
    VersionUnsupported = 400 "version_unsupported";
    /// More fields than allowed.
    TooManyFields = 431 "too_many_fields";
    /// A field is longer than allowed.
    FieldTooLong = 431 "field_too_long";
    /// A line of a head begins with a space or a tab (RFC 9112 §2.2 and §5.2).
    ObsFold = 400 "obs_fold";
    /// A line of a head has no colon.
    FieldWithoutColon = 400 "field_without_colon";
    /// A field has an empty name.
    FieldNameEmpty = 400 "field_name_empty";
    /// Space between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon = 400 "space_before_colon";
    /// A field's name has other bytes than those of tokens (RFC 9110 §5.1).
    FieldNameInvalid = 400 "field_name_invalid";
    /// A field's value has a control byte other than TAB (RFC 9110 §5.5).
    FieldValueControl = 400 "field_value_control";
    /// More than one Host (RFC 9112 §3.2).
    HostDuplicate = 400 "host_duplicate";
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing = 400 "host_missing";
    /// The Host is no host with an optional port (RFC 9112 §3.2).
    HostInvalid = 400 "host_invalid";
    /// More than one Content-Type (RFC 9110 §5.3).
    ContentTypeDuplicate = 400 "content_type_duplicate";
    /// The Content-Length is not 1 to 19 digits (RFC 9110 §8.6).
    ContentLengthInvalid = 400 "content_length_invalid";
    /// The Content-Length is a list, even if of equal numbers.
    ContentLengthList = 400 "content_length_list";
    /// More than one Content-Length, even if they are equal.
    ContentLengthDuplicate = 400 "content_length_duplicate";
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    ContentLengthWithTransferEncoding = 400 "content_length_with_transfer_encoding";
    /// Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1).
    TransferEncodingInHttp10 = 400 "transfer_encoding_in_http_1_0";
    /// The Transfer-Encoding is no list of names, or is empty.
    TransferEncodingInvalid = 400 "transfer_encoding_invalid";
    /// `chunked` more than once (RFC 9112 §7.1).
    TransferEncodingStacked = 400 "transfer_encoding_stacked";
    /// A transfer coding behind `chunked` (RFC 9112 §6.3).
    ChunkedNotLast = 400 "chunked_not_last";
    /// Transfer codings without a final `chunked`: the body has no end (RFC 9112 §6.3).
    TransferEncodingNotChunked = 400 "transfer_encoding_not_chunked";
    /// A transfer coding other than `chunked`; none is undone here (RFC 9112 §6.1).
    TransferCodingUnsupported = 501 "transfer_coding_unsupported";
    /// Another expectation than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed = 417 "expectation_failed";
    /// The chunk size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1).
    ChunkSizeInvalid = 400 "chunk_size_invalid";
    /// What follows the chunk size is no chunk extension (RFC 9112 §7.1.1).
    ChunkExtensionInvalid = 400 "chunk_extension_invalid";
    /// A chunk-size line is longer than a field may be.
    ChunkLineTooLong = 400 "chunk_line_too_long";
    /// The chunk extensions of a body come to 16 KiB.
    ChunkExtensionsTooLong = 400 "chunk_extensions_too_long";
    /// No CRLF behind a chunk's data (RFC 9112 §7.1).
    ChunkEndMissing = 400 "chunk_end_missing";
    /// A trailer that may only stand in a head (RFC 9110 §6.5.1).
    TrailerForbidden = 400 "trailer_forbidden";
    /// The trailers of a body come to more than 16 KiB.
    TrailersTooLong = 431 "trailers_too_long";
    /// The client closed in the midst of a head.
    IncompleteHead = 400 "incomplete_head";
    /// The client closed in the midst of a body.
    IncompleteBody = 400 "incomplete_body";
}
