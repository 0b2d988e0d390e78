"""Image files in and out: PNG, JPEG, TIFF and DICOM as float32 arrays in [0, 1], checks, decoding in parallel."""
