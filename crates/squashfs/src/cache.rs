//! A content-addressed cache of compressed blocks and fragments.
