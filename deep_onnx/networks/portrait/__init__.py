"""The networks of Conditional GAN based Mask Guided Portrait Editing, §3."""
