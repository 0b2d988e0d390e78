"""Image files in and out: PNG, JPEG, TIFF and DICOM as float32 arrays, checks, a decode pool."""
