"""Where the sets come from that cannot be downloaded by a program: for the command that has none of their files yet."""

IMAGENET = """\
  Get these files from https://image-net.org/download-images, with an account there (ILSVRC2012, tasks 1 and 2):
    ILSVRC2012_img_train.tar       138 GB   training images
    ILSVRC2012_img_val.tar         6.3 GB   validation images, which become the test set
    ILSVRC2012_devkit_t12.tar.gz   2.5 MB   the classes of the validation images
  or https://www.kaggle.com/c/imagenet-object-localization-challenge/data: its zip of 155 GB and LOC_val_solution.csv.
  Put them, as they are, into one directory. Or unpacked: train/n01440764/*.JPEG, ... and val/, sorted or not.
  Then: python dataprep/make_beton.py imagenet --source DIRECTORY"""

WEBVISION = """\
  Get these files from https://data.vision.ee.ethz.ch/cvl/webvision/download.html (WebVision 1.0, resized images):
    info.tar                        0.2 GB   lists and labels
    google_resized_256.tar           17 GB   training images; the mini set (--classes 50) trains on these
    flickr_resized_256.tar    about  30 GB   training images
    val_images_256.tar              0.9 GB   validation images, which become the test set
  Put the tars of images, as they are, into one directory and unpack info.tar there:
    DIRECTORY/info/synsets.txt, ...  DIRECTORY/google_resized_256.tar, ...
  Then: python dataprep/make_beton.py webvision --source DIRECTORY"""
