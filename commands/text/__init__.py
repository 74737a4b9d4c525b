"""What users write in options, forms and configuration files, read as values.

    seed_lists     '0-31,40'                  seeds, seeds with repetitions, classes
    number_lists   '1,4,8', '0.5,0.5'         integers, real numbers
    truncation     '0.7', 'coarse=0.5,8-17=1' a psi, or a psi by layers
    ramps          '0:1', '0,0:0.5,0'         values that change from frame to frame
    strengths      '-6:6:5', '-3,0,3'         strengths of an edit
    grids          '4x2', 'auto'              columns and rows
    directions     'pca:0', 'age.npy'         a principal component, a file, or a name
    sources        '0-3', 'ws.npy'            seeds, or a file of ws

What reads takes the name that its message gives to the option. What cannot be read is an
`InvalidInput`, of one line.
"""

__all__: list[str] = []
