//! The RSA key that the stub of Entra signs with. Nothing else trusts it: it protects nothing.
//! Not here: keys of the service, which makes its own.

/// PKCS #8, in base64.
pub(crate) const KEY: &str = "\
    MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQChaP2e1Ffij0DIbPcwEIWqAk0cjnytvaQFcU1NKW/ItT9dx8O4\
    pEekI/4Cbl6nkPqUGHtrULgfoPqZbIXWPuMkVR3MPIqluyftOiIEn6MM3R4N+lWZDVVAVhLr+ftwV+yMpy1s61DNBs103qg81pRo\
    rgrPJYmeLvkHntuJ1zMXA4h/j1uAnDEPIrvLmAhqFtBlBhci+aSOY90MGcNaemm4hJT4dJudGpAjz3GkyNzrnu0Ida6iWZDTxMXv\
    yPvCnx930dVfFSEXJGf1X6306E0V96FjLn2M7tPakZbUDtazGJHEe/RUj+xLEqZaNPjjZups2FIUBfjeCdHA5i8sR8CHAgMBAAEC\
    ggEATaPW+yNg8tW9b6saa8BGyzQ4K1hOmLPzxbpuWINqBb1JMa75ckNzQn0dncXBOhD+t2XfWAuHxY8Fe+87oYa2c6+NmcQ1XOrd\
    lbq0ykyPfYyO/GJB8lD7hOriRygDzlI8sptnulCmmTiAc4r2me0NjhzJjkKcI76sgwHi0Db3mEWSrER+RFXLgHk4R+1FtUDajkG5\
    yJUAaKXBin0vWaPfNcZAdPCV4RAEjgN5Qt8wry2B0kWdn68KZYw6Ys+7rLtjsHpUXiBvtxoRMjrxYeup3/k/DeZT4DfSKrlPwaso\
    6V4r9B5u3gFDffdaIZ4Wbw7liU202dyVyDgjdoy2aLzuwQKBgQDbf9SuVGK6k8EVERPdn2J8kuV/VHCOFJSksxe1zTIOlZ1OWB3R\
    w+D5gJ//44dWkYzkfDmlDDPwwjuSmfGwsIUsxP5a/9lqs48VAxF4tYQks7CgSDT3brMa8n+nAYrNZZz+it2k4nBkvxtEk4aofzAt\
    VLQcInPrP9WFjlw6u5aHrwKBgQC8QEeyp9rfg6BWdAwxhx5apkXRgrrHbkr2mYesgGz1KILaK+kq1HeNn4O2LY0d5i9j3B2BDJNF\
    iHfSk2Eht0DkV5B9piuFV9em+mSG75JRacFw/AHK7eaY0zAHUOJYuEMsbf6Q9fiq3Lqa5/lyfVABeEPt5kE0l14CNhxQ+RgyqQKB\
    gHTbwpQpUwK4JSSdGfF0qI9f+ZTnlKDf7h8dRfNBUnQXTU9ndEC4Qy8yPnySWvxIszT1ug7Xx1NXZTXwhY8m+0/RdQVnjw3SmMt7\
    /bJBGSAdFlzO9HwC0JH5JuL33Djr70BJGCVvdJz+bXr9+8P7KuAHZ3hPE13cd0YKe6m9My/7AoGAStvQ5xVirxE7mEVrd+KASpHm\
    H6s5tQaB3tAsqIclTNQAPNvLS9HTfMja6n3wqNwZKj+kp+WlRrg+1cjvjiW+M08y0RRcKBlHU0os4Y+xApjoaJJ98AFseoc4iSA7\
    8gXMCIXw/hoh+Wfu+JyYkFOOlhcKBDdU5KHwqzZzSivT2IkCgYBUfQkkmB708hi/JvmAfCeEos1j6n0hsDEBsPvgL5MGY5kfObyG\
    pJVkeEu+vEc+zy0Sk8Z4L3u3/AJCP9m0UsUdfMUBxDRoCYJf5NWz3tbCykCBNdfoygpN74Sm9B8Ecp5MvkvUH5NMBFLtvROr07MJ\
    necgoUcGvdOinW3EvRRU/Q==";
