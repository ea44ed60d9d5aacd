"""One file a command of `vfm-course`; none imports anything heavy at its top."""
